//! One client: a session, its clock, and what it waits for.

mod ask;
mod ledger;
mod told;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use kv_proto::{
    Binding, BucketConfig, BucketName, BucketStatus, CallOptions, Config, Elapsed, Entry, Event,
    Instant, Limits, NamesPage, Op, OpId, PurgedDeletes, Revision, Seed, Session, StatusPage,
    Storage,
};

use crate::clock::Clock;
use crate::history::{Answer, CallId};
use crate::oracle::{BUCKET, MARKER_TTL};
use crate::profile::{Clients, Profile};
use crate::server::FIRST_PORT;
use crate::server::rng::Rng;

pub(crate) use self::ledger::{Ended, Ledger};
pub(crate) use self::watch::{Bookmark, Follower};

/// A result that a client waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ticket {
    Write(Op<Revision>),
    Read(Op<Option<Entry>>),
    Open(Op<Binding>),
    Status(Op<BucketStatus>),
    Names(Op<NamesPage>),
    Statuses(Op<StatusPage>),
    Erase(Op<u64>),
    PurgeDeletes(Op<PurgedDeletes>),
    Ping(Op<Duration>),
    Sleep(Op<Elapsed>),
}

impl Ticket {
    pub(crate) fn id(&self) -> OpId {
        match self {
            Self::Write(op) => op.id(),
            Self::Read(op) => op.id(),
            Self::Open(op) => op.id(),
            Self::Status(op) => op.id(),
            Self::Names(op) => op.id(),
            Self::Statuses(op) => op.id(),
            Self::Erase(op) => op.id(),
            Self::PurgeDeletes(op) => op.id(),
            Self::Ping(op) => op.id(),
            Self::Sleep(op) => op.id(),
        }
    }
}

/// A call that is not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// `None` for the client's own opening of the bucket.
    pub(crate) call: Option<CallId>,
    pub(crate) key: u8,
    pub(crate) ticket: Ticket,
    /// On the session's clock.
    pub(crate) deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: usize,
    /// The JetStream domain that it names.
    domain: Option<&'static str>,
    /// Counts sessions: one that is dropped is followed by another.
    pub(crate) life: u32,
    pub(crate) session: Session,
    pub(crate) clock: Clock,
    pub(crate) binding: Option<Binding>,
    /// When it asked for it.
    pub(crate) bound_at: Instant,
    pub(crate) pending: Vec<Pending>,
    /// The watches and listings that are not over, in the order in which they were begun.
    pub(crate) followers: Vec<Follower>,
    /// When the next reader has rested; the end of time if none rests.
    pub(crate) read_at: Instant,
    /// How far watches have come, of former sessions too.
    pub(crate) bookmarks: Vec<Bookmark>,
    /// The newest revision seen of each key.
    pub(crate) seen: BTreeMap<u8, u64>,
    pub(crate) rng: Rng,
    /// Timers are late until then.
    pub(crate) late_until: Instant,
    /// When the session's timer is due on its clock, and when it will be served.
    timer: Option<(Instant, Instant)>,
    /// The answer of `next_timer`, for the world; the end of time if there is none.
    pub(crate) timer_at: Instant,
    /// When the embedder next looks after everything.
    pub(crate) round_at: Option<Instant>,
    /// How often the session's timers were served.
    pub(crate) timer_calls: u64,
    /// When the next attempt to open the bucket is due.
    pub(crate) open_at: Option<Instant>,
    /// The server that it last reached.
    pub(crate) last_server: Option<usize>,
    /// When it last dialled a server.
    pub(crate) last_dial: Instant,
    pub(crate) hints: bool,
    pub(crate) small_limits: bool,
    /// By how much its clock was set back in all.
    pub(crate) set_back: Duration,
    /// How many consumers the session has made, as the servers know.
    pub(crate) consumers_made: u64,
    /// How often it has asked for one.
    pub(crate) consumers_asked: u64,
    /// What the session has told of its connections.
    pub(crate) ledger: Ledger,
    pub(crate) has_dialled: bool,
    /// A frame was torn before it said whose it was, since results were last taken.
    pub(crate) torn: bool,
}

/// Late timers are late by at most this.
const LATENESS: Duration = Duration::from_millis(50);
/// Room for what is known of one key, and of the one before.
const FEW_FLOORS: usize = 9_000;
/// The seed of clients that draw the same numbers.
const TWINS: u64 = 2;
/// The password of every run that wants one.
pub(crate) const USER: &str = "sim";
pub(crate) const PASSWORD: &str = "s3cret";

impl Client {
    pub(crate) fn new(
        id: usize,
        profile: &Profile,
        domain: Option<&'static str>,
        mut rng: Rng,
        now: Instant,
    ) -> Self {
        let clock = Clock::new();
        let session = new_session(id, profile, domain, &mut rng, clock.show(now));
        Self {
            id,
            domain,
            life: 0,
            session,
            clock,
            binding: None,
            bound_at: now,
            pending: Vec::new(),
            followers: Vec::new(),
            read_at: Instant::END,
            bookmarks: Vec::new(),
            seen: BTreeMap::new(),
            rng,
            late_until: Instant::ORIGIN,
            timer: None,
            timer_at: Instant::END,
            round_at: Some(now),
            timer_calls: 0,
            open_at: Some(now),
            last_server: None,
            last_dial: Instant::ORIGIN,
            hints: profile.clients.hints,
            consumers_made: 0,
            consumers_asked: 0,
            small_limits: profile.clients.small_limits,
            ledger: Ledger::default(),
            has_dialled: false,
            torn: false,
            set_back: Duration::ZERO,
        }
    }

    /// Drops the session; another one begins at that time.
    pub(crate) fn begin_again(&mut self, profile: &Profile, at: Instant) {
        self.life += 1;
        let local = self.clock.show(at);
        self.session = new_session(self.id, profile, self.domain, &mut self.rng, local);
        self.ledger = Ledger::default();
        self.has_dialled = false;
        self.binding = None;
        self.pending.clear();
        self.consumers_made = 0;
        self.consumers_asked = 0;
        self.timer = None;
        self.round_at = Some(at);
        self.open_at = Some(at);
    }

    /// The time on the client's clock.
    pub(crate) fn local(&self, now: Instant) -> Instant {
        self.clock.show(now)
    }

    /// When the session's timer is served: when it is due, or later by what the embedder is late.
    pub(crate) fn next_timer(&mut self, now: Instant) -> Option<Instant> {
        let due = self.session.poll_timeout()?;
        if let Some((known, at)) = self.timer
            && known == due
            && self.clock.when(due).is_some()
        {
            return Some(at);
        }
        let on_time = self.clock.when(due)?;
        let late = if self.late_until > now {
            let nanos = u64::try_from(LATENESS.as_nanos()).unwrap_or(0);
            Duration::from_nanos(self.rng.below(nanos))
        } else {
            Duration::ZERO
        };
        let at = on_time.max(now) + late;
        self.timer = Some((due, at));
        Some(at)
    }

    /// A call whose deadline is this very instant.
    pub(crate) fn due_at(&self, local: Instant) -> Option<CallId> {
        let due = |one: &&Pending| one.call.is_some() && one.deadline == local;
        self.pending.iter().find(due)?.call
    }

    pub(crate) fn waits_for(&self, call: CallId) -> bool {
        self.pending.iter().any(|one| one.call == Some(call))
    }

    /// Forgets when the timer is served, as the clock has changed.
    pub(crate) fn clock_changed(&mut self) {
        self.timer = None;
    }

    /// Asks for the bucket, if that is due.
    pub(crate) fn open_bucket(&mut self, now: Instant, create: Option<BucketConfig>) {
        self.open_at = None;
        self.bound_at = now;
        let local = self.local(now);
        let timeout = Duration::from_secs(5);
        let options = CallOptions::default().timeout(timeout);
        let opened = match create {
            Some(config) => self.session.create_bucket(local, config, options),
            None => match BucketName::new(BUCKET) {
                Ok(name) => self.session.open(local, &name, options),
                Err(_) => return,
            },
        };
        match opened {
            Ok(op) => self.pending.push(Pending {
                call: None,
                key: 0,
                ticket: Ticket::Open(op),
                deadline: self.session.now() + timeout,
            }),
            Err(_) => self.open_at = Some(now + Duration::from_millis(50)),
        }
    }

    /// Takes the results that are there.
    pub(crate) fn collect(&mut self, now: Instant, mut told: impl FnMut(CallId, Answer)) {
        if self.hints {
            while let Some(event) = self.session.poll_event() {
                if let Event::Watch(id) = event {
                    self.hint(id);
                }
                if let Event::Op(id) = event
                    && let Some(at) = self.pending.iter().position(|one| one.ticket.id() == id)
                {
                    self.take(at, now, &mut told);
                }
            }
            return;
        }
        for at in (0..self.pending.len()).rev() {
            self.take(at, now, &mut told);
        }
    }

    fn take(&mut self, at: usize, now: Instant, told: &mut impl FnMut(CallId, Answer)) {
        let Some(pending) = self.pending.get(at).copied() else {
            return;
        };
        let Some(answer) = self.result(pending, now) else {
            return;
        };
        self.pending.remove(at);
        if let Answer::Applied(revision) | Answer::Found { revision, .. } = answer {
            let seen = self.seen.entry(pending.key).or_default();
            *seen = revision.max(*seen);
        }
        if let Answer::Exists(revision) | Answer::Conflict(Some(revision)) = answer {
            self.seen.insert(pending.key, revision);
        }
        if let Some(call) = pending.call {
            told(call, answer);
        }
    }
}

/// The server that a client is told first: each another one.
pub(crate) fn first_url(id: usize, profile: &Profile) -> String {
    url(id, profile)
}

fn url(at: usize, profile: &Profile) -> String {
    let server = at % usize::from(profile.servers.max(1));
    format!("nats://127.0.0.1:{}", usize::from(FIRST_PORT) + server)
}

fn new_session(
    id: usize,
    profile: &Profile,
    domain: Option<&str>,
    rng: &mut Rng,
    local: Instant,
) -> Session {
    let clients = &profile.clients;
    let count = if clients.all_urls { profile.servers } else { 1 };
    let urls = (0..usize::from(count)).map(|at| url(id + at, profile));
    let urls: Vec<String> = urls.collect();
    let millis = |ms: u32| Duration::from_millis(u64::from(ms));
    let config = Config::new(&urls.join(","))
        .unwrap_or_else(|_| Config::with_servers(Vec::new()))
        .request_timeout(millis(clients.request_ms))
        .ping_interval(millis(clients.ping_ms))
        .connect_timeout(millis(clients.connect_ms))
        .close_timeout(millis(clients.request_ms))
        .reconnect_within(
            millis(clients.reconnect_ms),
            millis(clients.reconnect_max_ms),
        )
        .retry_first_connect(true)
        .limits(limits(clients))
        .shuffle_servers(clients.shuffle);
    let config = match clients.max_reconnects {
        0 => config,
        most => config.max_reconnects(u32::from(most)),
    };
    let config = match clients.auth_failures {
        0 => config,
        most => config.max_auth_failures(u32::from(most)),
    };
    let config = if profile.auth {
        config.user(USER, PASSWORD).allow_passwords_in_clear()
    } else {
        config
    };
    let config = match domain {
        Some(domain) => config
            .jetstream_domain(domain)
            .expect("the domains of scenarios are names"),
        None => config,
    };
    let own = rng.next();
    let seed = if clients.twins { TWINS } else { own };
    Session::new(local, config, Seed::from_u64(seed))
}

pub(crate) fn limits(clients: &Clients) -> Limits {
    let mut limits = Limits::default();
    if clients.small_limits {
        limits.max_ops = 8;
        limits.max_pending_bytes = 8_000;
        limits.max_result_bytes = 8_000;
        limits.max_watches = 3;
        limits.max_watch_bytes = 2_000;
    }
    if clients.few_floors {
        limits.max_floor_bytes = FEW_FLOORS;
    }
    limits
}

pub(crate) fn bucket_config(profile: &Profile) -> BucketConfig {
    let bucket = &profile.bucket;
    let mut config = BucketConfig::new(BUCKET)
        .history(u32::from(bucket.history))
        .replicas(bucket.replicas);
    if bucket.max_age_ms > 0 {
        config = config.ttl(Duration::from_millis(u64::from(bucket.max_age_ms)));
    }
    if bucket.markers {
        config = config.limit_markers(Duration::from_secs(MARKER_TTL));
    }
    if bucket.max_bytes > 0 {
        config = config.max_bytes(u64::from(bucket.max_bytes));
    }
    if bucket.memory {
        config = config.storage(Storage::Memory);
    }
    config
}
