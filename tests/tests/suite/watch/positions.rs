//! Positions: how far a reader has come, to go on from there, elsewhere and later.

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Position, ResetReason, Update};

use super::{Reader, fill, read, told};
use crate::site::{Adapter, Site, stream, tests};

tests! {
    on_both_ends {
        another_client_goes_on_where_the_first_one_stopped
        a_position_is_what_was_read_and_not_what_came
        every_place_is_one_to_go_on_from
        a_position_outlives_what_it_points_at
        a_position_of_an_earlier_life_is_noticed
    }
}

/// The same bucket, of another client.
async fn elsewhere<A: Adapter>(site: &Site<A>, bucket: &Bucket) -> Bucket {
    site.client().await.bucket(bucket.name()).await.unwrap()
}

/// Goes on from a position that was stored as a text.
async fn go_on(bucket: &Bucket, position: &str) -> Reader {
    let position: Position = position.parse().unwrap();
    read(bucket.watch_all().from_position(position), bucket).await
}

fn stored(reader: &Reader) -> String {
    reader.watch.position().expect("a position").to_string()
}

/// A reader stops, its position is stored as a text, and a reader of another client goes on from it: what
/// was written meanwhile comes, nothing that was told comes again, then `Synced`, then what changes.
async fn another_client_goes_on_where_the_first_one_stopped<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(10)).await;
    bucket.put("a", "1").await.unwrap();
    bucket.put("b", "1").await.unwrap();
    let mut reader = read(bucket.watch_all(), &bucket).await;
    reader.initial().await;
    let last = bucket.put("a", "2").await.unwrap();
    reader.until(last).await;
    let position = stored(&reader);
    assert_eq!(reader.watch.position().unwrap().revision(), last);
    drop(reader);

    bucket.put("a", "3").await.unwrap();
    bucket.put("a", "4").await.unwrap();
    bucket.delete("b").await.unwrap();
    let bucket = elsewhere(&site, &bucket).await;
    let mut reader = go_on(&bucket, &position).await;
    let missed = ["4 a=3", "5 a=4", "6 b Delete"];
    assert_eq!(told(&reader.initial().await), missed);
    let last = bucket.put("c", "1").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["7 c=1"]);
}

/// What waits to be read does not count.
async fn a_position_is_what_was_read_and_not_what_came<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.watch.position(), None);
    assert_eq!(reader.update().await, Update::Synced);
    fill(&bucket, 100, 10).await;
    for _ in 0..10 {
        reader.entry().await;
    }
    let position = reader.watch.position().unwrap();
    assert_eq!(position.revision().get(), 10);
    let mut other = go_on(&bucket, &position.to_string()).await;
    assert_eq!(other.initial().await.len(), 90);
}

/// From each position of a history the rest follows, and nothing else; also when the reader stopped
/// before `Synced`.
async fn every_place_is_one_to_go_on_from<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(10)).await;
    for value in ["1", "2", "3", "4", "5", "6"] {
        bucket.put("a", value).await.unwrap();
    }
    let mut reader = read(bucket.watch_all().include_history(), &bucket).await;
    let mut rest = vec!["1 a=1", "2 a=2", "3 a=3", "4 a=4", "5 a=5", "6 a=6"];
    let bucket = elsewhere(&site, &bucket).await;
    while !rest.is_empty() {
        reader.entry().await;
        rest.remove(0);
        let mut other = go_on(&bucket, &stored(&reader)).await;
        assert_eq!(told(&other.initial().await), rest);
    }
}

/// The revision of a position may be gone: overwritten, or purged with all others. What follows it comes.
async fn a_position_outlives_what_it_points_at<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.put("a", "1").await.unwrap();
    let mut reader = read(bucket.watch_all(), &bucket).await;
    reader.entry().await;
    let position = stored(&reader);
    bucket.put("a", "2").await.unwrap();
    let mut reader = go_on(&bucket, &position).await;
    assert_eq!(told(&reader.initial().await), ["2 a=2"]);
    site.admin().purge(&stream(&bucket), None);
    let mut reader = go_on(&bucket, &position).await;
    assert_eq!(reader.update().await, Update::Synced);
    let last = bucket.put("a", "3").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["3 a=3"]);
}

/// When the bucket was deleted and created again, with fewer revisions than before or with more, whoever
/// goes on is told so, and then of all that is there.
async fn a_position_of_an_earlier_life_is_noticed<A: Adapter>(site: Site<A>) {
    for written in [2, 20] {
        let bucket = site.bucket().await;
        let before = fill(&bucket, 10, 10).await;
        let mut reader = read(bucket.watch_all(), &bucket).await;
        reader.until(before).await;
        let position = stored(&reader);
        drop(reader);
        bucket.client().delete_bucket(bucket.name()).await.unwrap();
        let config = BucketConfig::new(bucket.name());
        let bucket = site.client().await.create_bucket(config).await.unwrap();
        fill(&bucket, written, 10).await;
        let mut reader = go_on(&bucket, &position).await;
        assert_eq!(reader.reset().await, ResetReason::Recreated);
        assert_eq!(reader.initial().await.len(), written);
    }
}
