//! Flow control with windows so small that they are filled.

use kv_sim::server::FlowFault;

use crate::watching::MILLI;
use crate::watching::watcher::{Frame, Watcher};

/// A bucket whose snapshot is larger than the first window, and what has come of it.
fn stalled(wide: bool, faults: &[FlowFault]) -> (Watcher, Vec<Frame>) {
    let mut it = Watcher::new(1, |config| {
        config.flow_limit = 16 * 600;
        config.wide_replies = wide;
    });
    for key in 0..40 {
        it.put(&format!("k{key}"), "0123456789");
    }
    for fault in faults {
        it.cluster.disturb_flow(*fault);
    }
    it.watch("w");
    let come = it.come();
    (it, come)
}

fn data(come: &[Frame]) -> usize {
    come.iter()
        .filter(|frame| frame.reply.starts_with("$JS.ACK."))
        .count()
}

fn request(come: &[Frame]) -> Option<&Frame> {
    come.iter().find(|frame| frame.has("FlowControl Request"))
}

fn answer(it: &mut Watcher, subject: &str) -> Vec<Frame> {
    it.say(&format!("PUB {subject} 0\r\n\r\n"));
    it.come()
}

#[test]
fn the_window_opens_with_every_answer() {
    for wide in [false, true] {
        let (mut it, mut come) = stalled(wide, &[]);
        let (mut told, mut windows) = (0, Vec::new());
        loop {
            windows.push(data(&come));
            told += data(&come);
            let Some(asked) = request(&come) else { break };
            let parts = asked.reply.split('.').count();
            assert_eq!(
                (parts, &asked.reply[..7]),
                (if wide { 7 } else { 5 }, "$JS.FC.")
            );
            // It comes when more than half of the window is under way.
            let subject = asked.reply.clone();
            assert_eq!(answer(&mut it, "$JS.FC.KV_b.w.none").len(), 0);
            come = answer(&mut it, &subject);
        }
        assert_eq!(told, 40, "{windows:?}");
        assert!(
            windows[0] < windows[1] && windows[1] < windows[2],
            "{windows:?}"
        );
    }
}

#[test]
fn a_stalled_consumer_tells_so() {
    for fault in [FlowFault::RequestLost, FlowFault::AnswerLost] {
        let (mut it, come) = stalled(false, &[fault]);
        let first = data(&come);
        assert!(first < 40);
        if fault == FlowFault::AnswerLost {
            let asked = request(&come).expect("it asks").reply.clone();
            assert_eq!(answer(&mut it, &asked).len(), 0);
        } else {
            assert_eq!(request(&come), None);
        }
        it.advance(1_100 * MILLI);
        let come = it.come();
        assert_eq!(data(&come), 0);
        let beat = come.iter().find(|frame| frame.has("Idle Heartbeat"));
        let line = beat.and_then(|one| one.text.split("Nats-Consumer-Stalled: ").nth(1));
        let asked = line.expect("it is stalled").trim_end().to_owned();
        assert!(asked.starts_with("$JS.FC.KV_b.w."));
        assert!(data(&answer(&mut it, &asked)) > first);
        assert_eq!(it.met().len(), 1);
    }
}
