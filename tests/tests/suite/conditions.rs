//! Conditional writes: update, delete and purge that expect a revision.

use kv_proto::{Operation, Outcome, Revision, WriteError};

use crate::site::{Adapter, Site, all, state_of, stored, stored_revisions, tests};

tests! {
    on_both_ends {
        an_update_needs_the_last_revision
        an_update_can_expect_that_there_is_nothing
        a_conditional_delete_needs_the_last_revision
        a_conditional_purge_needs_the_last_revision
        of_racing_updates_one_wins
    }
}

fn conflict(expected: Revision, current: Revision) -> Result<Revision, WriteError> {
    let current = Some(current);
    Err(WriteError::Conflict { expected, current })
}

/// An update of the last revision is stored; one of an older, a later or a missing revision tells the
/// current one, and changes nothing.
async fn an_update_needs_the_last_revision<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut admin = site.admin();
    let first = bucket.put("a", "1").await.unwrap();
    bucket.put("b", "other").await.unwrap();
    let second = bucket.update("a", "2", first).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");

    let lost = bucket.update("a", "3", first).await;
    assert_eq!(lost, conflict(first, second));
    let error = lost.unwrap_err();
    assert_eq!(
        (error.outcome(), error.is_retryable()),
        (Outcome::NotApplied, false)
    );
    let later = Revision::new(77);
    assert_eq!(
        bucket.update("a", "3", later).await,
        conflict(later, second)
    );
    let none = Revision::default();
    assert_eq!(bucket.update("c", "3", first).await, conflict(first, none));
    assert_eq!(state_of(&mut admin, &bucket, "last_seq"), second.get());

    let tombstone = bucket.delete("a").await.unwrap();
    assert_eq!(
        bucket.update("a", "3", second).await,
        conflict(second, tombstone)
    );
    let third = bucket.update("a", "3", tombstone).await.unwrap();
    assert_eq!(bucket.entry("a").await.unwrap().unwrap().revision, third);
}

/// An update that expects revision 0 stores the value of a key that never was, and of no other: a
/// tombstone is a revision.
async fn an_update_can_expect_that_there_is_nothing<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let none = Revision::default();
    let first = bucket.update("a", "1", none).await.unwrap();
    assert_eq!(bucket.update("a", "2", none).await, conflict(none, first));
    let tombstone = bucket.delete("a").await.unwrap();
    assert_eq!(
        bucket.update("a", "3", none).await,
        conflict(none, tombstone)
    );
}

/// A delete that expects a revision deletes that one and no other, and leaves the history.
async fn a_conditional_delete_needs_the_last_revision<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut admin = site.admin();
    let first = bucket.put("a", "1").await.unwrap();
    let second = bucket.put("a", "2").await.unwrap();
    let lost = bucket.delete("a").expect(first).await;
    assert_eq!(lost, conflict(first, second));
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
    let tombstone = bucket.delete("a").expect(second).await.unwrap();
    let entry = bucket.entry("a").await.unwrap().unwrap();
    assert_eq!(
        (entry.revision, entry.operation),
        (tombstone, Operation::Delete)
    );
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 3);
    let headers = stored(&mut admin, &bucket, "a").unwrap().headers;
    assert!(headers.contains("Nats-Expected-Last-Subject-Sequence: 2\r\n"));

    let again = bucket.delete("a").expect(second).await;
    assert_eq!(again, conflict(second, tombstone));
    let (some, none) = (Revision::new(3), Revision::default());
    assert_eq!(bucket.delete("b").expect(some).await, conflict(some, none));
    bucket.delete("b").expect(none).await.unwrap();
}

/// A purge that expects a revision purges that one with its history, and no other.
async fn a_conditional_purge_needs_the_last_revision<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut admin = site.admin();
    let first = bucket.put("a", "1").await.unwrap();
    let second = bucket.put("a", "2").await.unwrap();
    let lost = bucket.purge("a").expect(first).await;
    assert_eq!(lost, conflict(first, second));
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 2);
    let tombstone = bucket.purge("a").expect(second).await.unwrap();
    let entry = bucket.entry("a").await.unwrap().unwrap();
    assert_eq!(
        (entry.revision, entry.operation),
        (tombstone, Operation::Purge)
    );
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 1);
    let again = bucket.purge("a").expect(second).await;
    assert_eq!(again, conflict(second, tombstone));
}

/// Eight clients count to 80 together by compare-and-set: no increment is lost and none is doubled.
async fn of_racing_updates_one_wins<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.put("count", "0").await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let bucket = site.client().await.bucket(bucket.name()).await.unwrap();
        clients.push(A::spawn(async move {
            let mut conflicts = 0;
            for _ in 0..10 {
                loop {
                    let entry = bucket.entry("count").leader().await.unwrap().unwrap();
                    let count: u32 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                    let next = (count + 1).to_string();
                    match bucket.update("count", next, entry.revision).await {
                        Ok(revision) => {
                            assert!(revision > entry.revision);
                            break;
                        }
                        Err(WriteError::Conflict { expected, current }) => {
                            assert_eq!(expected, entry.revision);
                            assert!(current > Some(expected));
                            conflicts += 1;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            conflicts
        }));
    }
    let conflicts: u32 = all(clients).await.into_iter().sum();
    assert!(conflicts > 0, "there was no race");
    assert_eq!(bucket.get("count").leader().await.unwrap().unwrap(), "80");
    assert_eq!(state_of(&mut site.admin(), &bucket, "last_seq"), 81);
}
