//! A run is its seed; and whatever is wrong with it is told.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use kv_sim::app::{Reason, Sim, Simulation, Storm};

use super::{SECOND, bucket};

/// Two clients that write in a storm of everything.
async fn writers(sim: Sim) -> u64 {
    let mut processes = Vec::new();
    let mut tasks = Vec::new();
    for name in ["a", "b"] {
        let process = sim.process(name);
        let bucket = bucket(&sim, &process).await;
        tasks.push(process.spawn(async move {
            let mut applied = 0;
            for _ in 0..30 {
                applied += u64::from(bucket.put("k", "v").await.is_ok());
                bucket.client().sleep(SECOND).await;
            }
            applied
        }));
        processes.push(process);
    }
    sim.storm(&processes, &Storm::all().suspensions(), 30 * SECOND)
        .await;
    let mut applied = 0;
    for task in tasks {
        applied += task.await.unwrap();
    }
    applied
}

#[test]
fn the_same_seed_is_the_same_run() {
    let simulation = Simulation::new().servers(3);
    let first = simulation.search(0..20, writers).unwrap();
    assert_eq!(simulation.search(0..20, writers).unwrap(), first);
    assert_ne!(simulation.search(20..40, writers).unwrap().hash, first.hash);
    let (one, again) = (simulation.replay(3, writers), simulation.replay(3, writers));
    assert_eq!(one.timeline, again.timeline);
    assert!(one.timeline.iter().any(|line| line.contains("a sends")));
    assert!(one.result.unwrap() > 0);
}

#[test]
fn a_storm_lets_everything_happen() {
    let simulation = Simulation::new().servers(3);
    let lines: Vec<String> = (0..60)
        .flat_map(|seed| simulation.replay(seed, writers).timeline)
        .collect();
    for what in [
        "is cut off",
        "is cut off from server",
        "is no longer cut off",
        "loses its connections",
        "stalls for",
        "is suspended for",
        "has a clock that jumps",
        "stops",
        "starts",
        "elects another leader",
        "the next reply is lost",
        "everything heals",
    ] {
        assert!(lines.iter().any(|line| line.contains(what)), "{what}");
    }
}

#[test]
fn a_panic_is_the_failure_of_its_seed() {
    let failure = Simulation::new()
        .search(0..100, |sim| async move {
            sim.sleep(SECOND).await;
            sim.note("the end is near");
            assert_ne!(sim.draw(10), 7, "seven");
        })
        .unwrap_err();
    assert!(matches!(&failure.reason, Reason::Panicked(text) if text.contains("seven")));
    assert_eq!(failure.at, SECOND);
    let text = failure.to_string();
    assert!(text.contains("the end is near"), "{text}");
    assert!(text.contains(&format!("seed {}", failure.seed)), "{text}");
}

#[test]
fn a_panic_of_a_task_is_one_too() {
    let run = Simulation::new().replay(1, |sim| async move {
        let task = sim.process("a").spawn(async { panic!("inside") });
        let () = task.await.unwrap();
    });
    assert_eq!(run.result, Err(Reason::Panicked("inside".into())));
}

#[test]
fn what_must_always_hold_is_looked_at_after_every_step() {
    let run = Simulation::new().replay(1, |sim| async move {
        let count = Rc::new(Cell::new(0));
        let seen = count.clone();
        sim.always("it stays below three", move || seen.get() < 3);
        loop {
            sim.sleep(SECOND).await;
            count.set(count.get() + 1);
            sim.spawn(async {}).await.unwrap();
        }
    });
    let broken = Reason::Broken("it stays below three".into());
    assert_eq!((run.result, run.time), (Err(broken), 3 * SECOND));
}

#[test]
fn what_never_ends_is_told() {
    let simulation = Simulation::new().limit(100 * SECOND);
    let stuck = simulation.replay(1, |_| pending::<()>());
    assert_eq!(stuck.result, Err(Reason::Stuck));
    let too_long = simulation.replay(1, |sim| async move {
        loop {
            sim.sleep(SECOND).await;
        }
    });
    let too_long: Result<(), _> = too_long.result;
    assert_eq!(too_long, Err(Reason::TooLong));
    let spins = simulation.replay(1, |_| {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
    });
    assert_eq!(spins.result, Err(Reason::Spins));
}

#[test]
fn what_is_not_deterministic_is_told() {
    thread_local! { static RUNS: Cell<u32> = const { Cell::new(0) }; }
    let failure = Simulation::new().search(0..1, |_| async {
        RUNS.set(RUNS.get() + 1);
        assert!(RUNS.get() > 1, "only the first time");
    });
    assert_eq!(failure.unwrap_err().reason, Reason::Fickle);
}

/// A run within a run has tasks of its own.
#[test]
fn runs_can_be_nested() {
    let total = Simulation::new().run(1, |outer| async move {
        let task = outer.spawn(async { 1 });
        let inner = Simulation::new().run(2, |sim| async move {
            let task = sim.spawn(async { 2 });
            task.await.unwrap()
        });
        inner + task.await.unwrap()
    });
    assert_eq!(total, 3);
}

/// What is replayed can be drawn: who takes part, what befalls them, and what is broken.
#[test]
fn a_replay_can_be_drawn() {
    let run = Simulation::new().replay(1, |sim| async move {
        let a = sim.process("<ann>");
        let bucket = bucket(&sim, &a).await;
        a.stall(SECOND);
        a.reset_connections();
        sim.stop_server(0);
        sim.start_server(0);
        bucket.put("k", "v").await.unwrap();
        sim.note("that is all");
        sim.always("it ends well", || false);
        sim.sleep(SECOND).await;
    });
    let recording = run.recording.unwrap();
    assert!(recording.is_broken());
    assert!(
        recording
            .frames
            .iter()
            .any(|frame| frame.arrived == frame.size)
    );
    let page = kv_sim::picture::draw(&recording);
    for what in [
        "&lt;ann&gt; stalls for 1s",
        "&lt;ann&gt; loses its connections",
        "that is all",
        "it does not hold that it ends well",
    ] {
        assert!(page.contains(what), "{what}");
    }
    assert!(!page.contains("<ann>"));
    let unwritten = Simulation::new().search(0..1, |sim| async move { sim.note("a") });
    assert_eq!(unwritten.unwrap().seeds, 1);
}
