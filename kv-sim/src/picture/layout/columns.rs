//! Who stands where: the columns of a picture, and what shares one without getting in each other's way.

use kv_proto::Instant;

use super::super::record::{LaneId, LinkId, On, Recording, Role, Side, StrikeId, What};

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::picture) enum Shows {
    Faults,
    /// What a client asks for, and is told.
    Calls(LaneId),
    /// The messages of a client's links; most clients have one at a time.
    Links(LaneId, usize),
    Stream(LaneId),
    Server(LaneId),
}

/// Links of a client that stand side by side; more share a column.
const MAX_LINKS: usize = 3;
/// Bars side by side; more share one.
const MAX_BARS: usize = 10;

#[derive(Debug)]
pub(super) struct Columns {
    pub(super) all: Vec<Shows>,
    /// For every link, its column.
    links: Vec<usize>,
    /// For every call, its bar in its column.
    call_bars: Vec<usize>,
    /// For every fault, its bar.
    strike_bars: Vec<usize>,
}

impl Columns {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut all = vec![Shows::Faults];
        let mut links = vec![0; recording.links.len()];
        let lives = lives_of_links(recording);
        for client in recording.in_role(Role::Client) {
            all.push(Shows::Calls(client));
            let own = recording.links.iter().enumerate();
            let own: Vec<usize> = own
                .filter(|(_, link)| link.client == client)
                .map(|(at, _)| at)
                .collect();
            let spans = own.iter().filter_map(|at| lives.get(*at).copied());
            let (slots, used) = side_by_side(spans, MAX_LINKS);
            for (at, slot) in own.iter().zip(slots) {
                if let Some(link) = links.get_mut(*at) {
                    *link = all.len() + slot;
                }
            }
            all.extend((0..used.max(1)).map(|slot| Shows::Links(client, slot)));
        }
        all.extend(recording.in_role(Role::Stream).map(Shows::Stream));
        all.extend(recording.in_role(Role::Server).map(Shows::Server));
        Self {
            all,
            links,
            call_bars: call_bars(recording),
            strike_bars: strike_bars(recording),
        }
    }

    pub(super) fn of_link(&self, link: LinkId) -> usize {
        self.links.get(link.0).copied().unwrap_or(0)
    }

    /// The column of somebody's own affairs.
    pub(super) fn of_lane(&self, lane: LaneId) -> usize {
        let own = |shows: &Shows| match shows {
            Shows::Calls(one) | Shows::Stream(one) | Shows::Server(one) => *one == lane,
            Shows::Links(..) | Shows::Faults => false,
        };
        self.all.iter().position(own).unwrap_or(0)
    }

    /// The columns of what a fault befalls.
    pub(super) fn befallen(&self, on: On) -> Vec<usize> {
        let is_befallen = |shows: &Shows| match (on, shows) {
            (On::One(one), Shows::Calls(lane) | Shows::Stream(lane) | Shows::Server(lane))
            | (On::LinksOf(one), Shows::Links(lane, _)) => one == *lane,
            (On::All, _) | (On::One(_) | On::LinksOf(_), _) => false,
        };
        let columns = self.all.iter().enumerate();
        let those = columns.filter(|(_, shows)| is_befallen(shows));
        those.map(|(at, _)| at).collect()
    }

    pub(super) fn call_bar(&self, call: usize) -> usize {
        self.call_bars.get(call).copied().unwrap_or(0)
    }

    pub(super) fn strike_bar(&self, strike: StrikeId) -> usize {
        self.strike_bars.get(strike.0).copied().unwrap_or(0)
    }

    /// How many bars a client's column needs.
    pub(super) fn bars_of(&self, recording: &Recording, client: LaneId) -> usize {
        let calls = recording.calls.iter().enumerate();
        let own = calls.filter(|(_, call)| call.lane == client);
        own.map(|(at, _)| self.call_bar(at) + 1).max().unwrap_or(0)
    }

    pub(super) fn strike_bars(&self) -> usize {
        self.strike_bars.iter().max().map_or(0, |bar| bar + 1)
    }
}

type Span = (Instant, Instant);

/// From dialling to the last that was seen of each link.
fn lives_of_links(recording: &Recording) -> Vec<Span> {
    let mut lives = vec![(Instant::END, Instant::ORIGIN); recording.links.len()];
    // Half a connection can linger; it makes room for the next one when its client is gone.
    let mut left = vec![false; recording.links.len()];
    for mark in &recording.marks {
        let link = match &mark.what {
            What::Dialled(link) | What::Connected(link) | What::Ended { link, .. } => *link,
            What::Sent(frame) | What::Arrived(frame) => match recording.frame(*frame) {
                Some(frame) => frame.link,
                None => continue,
            },
            What::Phase(_)
            | What::Called(_)
            | What::Told { .. }
            | What::Answered { .. }
            | What::Struck(_)
            | What::Noted { .. }
            | What::Became { .. }
            | What::Broken { .. } => continue,
        };
        let (Some(life), Some(left)) = (lives.get_mut(link.0), left.get_mut(link.0)) else {
            continue;
        };
        life.0 = life.0.min(mark.at);
        if !*left {
            life.1 = mark.at;
        }
        *left |= matches!(
            mark.what,
            What::Ended {
                end: Side::Client,
                ..
            }
        );
    }
    lives
}

fn call_bars(recording: &Recording) -> Vec<usize> {
    let mut spans: Vec<Span> = vec![(Instant::END, recording.end); recording.calls.len()];
    for mark in &recording.marks {
        if let What::Called(call) = mark.what
            && let Some(span) = spans.get_mut(call.0)
        {
            span.0 = mark.at;
        }
        if let What::Answered { call, .. } = mark.what
            && let Some(span) = spans.get_mut(call.0)
        {
            span.1 = mark.at;
        }
    }
    let mut bars = vec![0; recording.calls.len()];
    for client in recording.in_role(Role::Client) {
        let calls = recording.calls.iter().enumerate();
        let own: Vec<usize> = calls
            .filter(|(_, call)| call.lane == client)
            .map(|(at, _)| at)
            .collect();
        let of_own = own.iter().filter_map(|at| spans.get(*at).copied());
        let (slots, _) = side_by_side(of_own, MAX_BARS);
        for (at, slot) in own.into_iter().zip(slots) {
            if let Some(bar) = bars.get_mut(at) {
                *bar = slot;
            }
        }
    }
    bars
}

fn strike_bars(recording: &Recording) -> Vec<usize> {
    let mut spans = vec![(Instant::END, Instant::ORIGIN); recording.strikes.len()];
    for mark in &recording.marks {
        if let What::Struck(id) = mark.what
            && let Some(span) = spans.get_mut(id.0)
        {
            let until = recording.strike(id).and_then(|strike| strike.until);
            *span = (mark.at, until.unwrap_or(mark.at));
        }
    }
    side_by_side(spans.into_iter(), MAX_BARS).0
}

/// Gives each span, in the order of their beginnings, the first place that is free by then, or if all are
/// taken, the one that is free first. Returns the places, and how many there are.
fn side_by_side(spans: impl Iterator<Item = Span>, max: usize) -> (Vec<usize>, usize) {
    let mut free: Vec<Instant> = Vec::new();
    let places = spans.map(|(from, to)| {
        let place = match free.iter().position(|since| *since < from) {
            Some(place) => place,
            None if free.len() < max => {
                free.push(to);
                free.len() - 1
            }
            None => {
                let first = free.iter().enumerate().min_by_key(|(_, since)| **since);
                first.map_or(0, |(place, _)| place)
            }
        };
        if let Some(since) = free.get_mut(place) {
            *since = to;
        }
        place
    });
    let places: Vec<usize> = places.collect();
    (places, free.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_stands_side_by_side() {
        let at = Instant::from_nanos;
        let spans = [(0, 10), (1, 3), (4, 9), (5, 6), (11, 12)];
        let spans = spans.map(|(from, to)| (at(from), at(to)));
        let wide = side_by_side(spans.into_iter(), 9);
        assert_eq!(wide, (vec![0, 1, 1, 2, 0], 3));
        let narrow = side_by_side(spans.into_iter(), 2);
        assert_eq!(narrow, (vec![0, 1, 1, 1, 0], 2));
    }
}
