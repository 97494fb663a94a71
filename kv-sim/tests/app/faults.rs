//! Every fault does what it says, and no more.

use std::cell::Cell;
use std::rc::Rc;

use kv_proto::{ConnectionState, Outcome, Update};
use kv_sim::app::{Killed, Simulation};

use super::{SECOND, bucket};

const SEEDS: std::ops::Range<u64> = 0..20;

/// Whoever is cut off waits; what was sent arrives when the network heals, on the connection of before.
#[test]
fn a_partition_delays_what_is_sent() {
    let explored = Simulation::new().search(SEEDS, |sim| async move {
        let (a, b) = (sim.process("a"), sim.process("b"));
        let here = bucket(&sim, &a).await;
        let there = bucket(&sim, &b).await;
        a.partition();
        let put = here.put("k", "late").timeout(60 * SECOND);
        let put = a.spawn(put.into_future());
        sim.sleep(3 * SECOND).await;
        assert_eq!(there.get("k").await.unwrap(), None);
        there.put("other", "v").await.unwrap();
        a.rejoin();
        let revision = put.await.unwrap().unwrap();
        assert_eq!(there.get("k").await.unwrap().unwrap(), "late");
        assert_eq!(revision.get(), 2);
        assert_eq!(here.client().stats().connects, 1);
    });
    explored.unwrap();
}

/// A server that dies while nobody can see it is seen to be dead as soon as the network heals.
#[test]
fn a_server_that_dies_behind_a_partition_is_noticed_after_it() {
    let explored = Simulation::new().search(SEEDS, |sim| async move {
        let a = sim.process("a");
        let bucket = bucket(&sim, &a).await;
        a.partition();
        sim.stop_server(0);
        sim.start_server(0);
        sim.sleep(SECOND).await;
        assert_eq!(bucket.client().state(), ConnectionState::Connected);
        a.rejoin();
        sim.sleep(SECOND).await;
        assert_ne!(bucket.client().last_disconnect(), None);
        bucket.put("k", "v").timeout(10 * SECOND).await.unwrap();
        assert_eq!(bucket.client().stats().connects, 2);
    });
    explored.unwrap();
}

/// A write that is cut off and given up is applied or not, and its outcome says that nobody knows.
#[test]
fn what_is_given_up_behind_a_partition_is_unknown() {
    let explored = Simulation::new().search(SEEDS, |sim| async move {
        let a = sim.process("a");
        let bucket = bucket(&sim, &a).await;
        a.partition();
        let put = bucket.put("k", "v").timeout(SECOND).await;
        assert_eq!(put.unwrap_err().outcome(), Outcome::Unknown);
        let put = bucket.get("k").timeout(SECOND).await;
        assert!(put.is_err());
        a.rejoin();
        bucket.put("k", "again").await.unwrap();
        assert_eq!(bucket.get("k").await.unwrap().unwrap(), "again");
    });
    explored.unwrap();
}

/// Who cannot reach one server goes to another.
#[test]
fn a_partition_can_be_of_one_server() {
    let explored = Simulation::new()
        .servers(3)
        .search(SEEDS, |sim| async move {
            let a = sim.process("a");
            let bucket = bucket(&sim, &a).await;
            for server in 0..2 {
                a.partition_from(server);
            }
            sim.sleep(400 * SECOND).await; // until pings are missed, at the latest
            bucket.put("k", "v").await.unwrap();
            let server = bucket.client().server().unwrap();
            assert_eq!(server.port(), 4224);
        });
    explored.unwrap();
}

/// A stalled process does nothing while its clock goes on; a suspended one finds its clock where it was.
#[test]
fn stalls_and_suspensions_differ_in_the_clock() {
    let explored = Simulation::new().search(SEEDS, |sim| async move {
        for suspended in [false, true] {
            let a = sim.process("a");
            let beats = Rc::new(Cell::new(0));
            let counted = beats.clone();
            let beating = a.clone();
            a.spawn(async move {
                loop {
                    beating.sleep(SECOND).await;
                    counted.set(counted.get() + 1);
                }
            });
            sim.sleep(SECOND * 7 / 2).await;
            let before = a.now();
            assert_eq!(beats.get(), 3);
            if suspended {
                a.suspend(100 * SECOND);
            } else {
                a.stall(100 * SECOND);
            }
            sim.sleep(99 * SECOND).await;
            assert_eq!(beats.get(), 3, "it does nothing");
            let passed = a.now().saturating_duration_since(before);
            assert_eq!(passed, 99 * SECOND * u32::from(!suspended));
            sim.sleep(SECOND * 11 / 10).await;
            assert_eq!(beats.get(), if suspended { 3 } else { 4 });
            sim.sleep(SECOND / 2).await;
            assert_eq!(beats.get(), 4);
        }
    });
    explored.unwrap();
}

/// A clock that jumps takes its process's timers along, and nobody else's.
#[test]
fn a_clock_that_jumps_is_one_process_own() {
    Simulation::new().run(1, |sim| async move {
        let (a, b) = (sim.process("a"), sim.process("b"));
        let (sleeping, waking) = (a.clone(), b.clone());
        let slept = a.spawn(async move { sleeping.sleep(60 * SECOND).await });
        let other = b.spawn(async move { waking.sleep(60 * SECOND).await });
        sim.sleep(SECOND).await;
        a.jump_clock(59 * SECOND);
        slept.await.unwrap();
        assert_eq!(sim.elapsed(), SECOND);
        other.await.unwrap();
        assert_eq!(sim.elapsed(), 60 * SECOND);
    });
}

/// A killed process is gone with its tasks, clients and connections, and can begin another life.
#[test]
fn a_killed_process_leaves_nothing_behind() {
    let explored = Simulation::new().search(SEEDS, |sim| async move {
        let a = sim.process("a");
        let bucket_before = bucket(&sim, &a).await;
        let mut watch = bucket_before.watch(">").await.unwrap();
        let task = a.spawn(async move {
            while watch.next().await.is_some() {}
            unreachable!("it is killed before");
        });
        sim.sleep(SECOND).await;
        let connections = || sim.servers(|cluster, _| cluster.connections());
        assert_eq!(connections(), 1);
        a.kill();
        assert_eq!(task.await, Err::<(), _>(Killed));
        assert_eq!(bucket_before.client().state(), ConnectionState::Closed);
        sim.sleep(SECOND).await;
        assert_eq!(connections(), 0);

        let bucket = bucket(&sim, &a).await;
        bucket.put("k", "v").await.unwrap();
        assert_eq!(connections(), 1);
    });
    explored.unwrap();
}

/// A watch lives through everything that befalls servers and its connection.
#[test]
fn a_watch_lives_through_restarts_and_resets() {
    let explored = Simulation::new()
        .servers(3)
        .search(SEEDS, |sim| async move {
            let (a, b) = (sim.process("a"), sim.process("b"));
            let written = bucket(&sim, &a).await;
            let read = bucket(&sim, &b).await;
            let mut watch = read.watch(">").await.unwrap();
            let last = b.spawn(async move {
                while let Some(update) = watch.next().await {
                    if let Update::Entry(entry) = update.unwrap()
                        && entry.value == "9"
                    {
                        return entry.revision;
                    }
                }
                panic!("the watch ended");
            });
            let mut revision = None;
            for count in 0..10 {
                match count % 3 {
                    0 => b.reset_connections(),
                    1 => {
                        sim.stop_server(count % 2);
                        sim.sleep(SECOND * 3).await;
                        sim.start_server(count % 2);
                    }
                    _ => sim.lame_duck(2),
                }
                sim.sleep(SECOND * 3).await;
                revision = Some(loop {
                    if let Ok(revision) = written.put("k", count.to_string()).await {
                        break revision;
                    }
                });
            }
            assert_eq!(Some(last.await.unwrap()), revision);
        });
    explored.unwrap();
}
