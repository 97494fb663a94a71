//! What a watch can be asked for: where it starts, what it leaves out, and which keys it tells of.

use kv_proto::{
    InvalidFilter, InvalidKey, InvalidWatch, KeyFilter, MAX_FILTERS, Operation, Revision, Update,
    WatchError, WatchState,
};

use super::{read, told};
use crate::site::{Adapter, Site, at_once, config, key, tests};

tests! {
    on_both_ends {
        a_watch_tells_the_state_then_the_changes
        own_writes_are_told_without_echo
        updates_only
        all_history
        from_a_revision
        without_deletes
        without_values
        of_some_keys
        of_several_filters
        filters_that_overlap_are_refused_here
        invalid_names_are_refused_here
        names_of_every_type
    }
}

/// By default: the last revision of every key, whatever it is, in the order of revisions; then
/// `Synced`; then every revision that is written. Entries say all that reads say.
async fn a_watch_tells_the_state_then_the_changes<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "twice"), ("c", "1")] {
        bucket.put(key, value).await.unwrap();
    }
    bucket.delete("c").await.unwrap();
    bucket.purge("d").await.unwrap();

    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.watch.state(), WatchState::Live);
    let initial = reader.initial().await;
    assert_eq!(
        told(&initial),
        ["2 b=1", "3 a=twice", "5 c Delete", "6 d Purge"]
    );
    let behind: Vec<_> = initial.iter().map(|entry| entry.delta).collect();
    assert_eq!(behind, [3, 2, 1, 0]);

    bucket.put("a", "3").await.unwrap();
    bucket.put("a", "4").await.unwrap();
    bucket.delete("a").await.unwrap();
    let last = bucket.put("e", "").await.unwrap();
    let changes = reader.until(last).await;
    assert_eq!(told(&changes), ["7 a=3", "8 a=4", "9 a Delete", "10 e="]);

    for entry in initial.iter().chain(&changes) {
        let read = bucket.entry(&entry.key).revision(entry.revision);
        let mut entry = entry.clone();
        entry.delta = 0;
        assert_eq!(read.await, Ok(Some(entry)));
    }
}

/// What a connection writes comes back through JetStream: to ask servers for no echo changes nothing.
async fn own_writes_are_told_without_echo<A: Adapter>(site: Site<A>) {
    let name = site.bucket().await.name().clone();
    let quiet = config(&site.server().url()).no_echo();
    let bucket = site.connect_with(quiet).await.bucket(name).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(told(&reader.initial().await), ["1 a=1"]);
    let last = bucket.put("a", "2").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["2 a=2"]);
    assert_eq!(bucket.keys().collect().await.unwrap(), [key("a")]);
}

/// Nothing of what was there before; `Synced` comes first, at once.
async fn updates_only<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.put("a", "1").await.unwrap();
    let mut reader = read(bucket.watch_all().updates_only(), &bucket).await;
    assert_eq!(at_once(reader.update()).await, Update::Synced);
    bucket.put("a", "2").await.unwrap();
    let last = bucket.delete("b").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["2 a=2", "3 b Delete"]);
}

/// All revisions that the bucket keeps, which are those of its history.
async fn all_history<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(2)).await;
    for value in ["1", "2", "3"] {
        bucket.put("a", value).await.unwrap();
        bucket.put("b", value).await.unwrap();
    }
    bucket.delete("b").await.unwrap();
    let mut reader = read(bucket.watch_all().include_history(), &bucket).await;
    assert_eq!(
        told(&reader.initial().await),
        ["3 a=2", "5 a=3", "6 b=3", "7 b Delete"]
    );
    let last = bucket.put("a", "4").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["8 a=4"]);
}

/// All revisions that are kept from the given one on: from the middle, from before the first, and from
/// the one that is still to come.
async fn from_a_revision<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    for value in ["1", "2", "3", "4"] {
        bucket.put("a", value).await.unwrap();
    }
    for (from, initial) in [
        (0, &["1 a=1", "2 a=2", "3 a=3", "4 a=4"][..]),
        (1, &["1 a=1", "2 a=2", "3 a=3", "4 a=4"]),
        (3, &["3 a=3", "4 a=4"]),
        (4, &["4 a=4"]),
    ] {
        let request = bucket.watch_all().from_revision(Revision::new(from));
        let mut reader = read(request, &bucket).await;
        assert_eq!(told(&reader.initial().await), initial, "from {from}");
    }
    let request = bucket.watch_all().from_revision(Revision::new(5));
    let mut reader = read(request, &bucket).await;
    assert_eq!(at_once(reader.update()).await, Update::Synced);
    let last = bucket.put("a", "5").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["5 a=5"]);
}

/// Tombstones of every kind are left out, before `Synced` and after it.
async fn without_deletes<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    bucket.put("a", "1").await.unwrap();
    bucket.put("b", "1").await.unwrap();
    bucket.delete("a").await.unwrap();
    let mut reader = read(bucket.watch_all().ignore_deletes(), &bucket).await;
    assert_eq!(told(&reader.initial().await), ["2 b=1"]);
    bucket.delete("b").await.unwrap();
    bucket.purge("a").await.unwrap();
    let last = bucket.put("a", "2").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["6 a=2"]);

    let history = bucket.watch_all().include_history().ignore_deletes();
    let mut reader = read(history, &bucket).await;
    assert_eq!(told(&reader.initial().await), ["2 b=1", "6 a=2"]);
}

/// Values stay on the server; their lengths are told. Everything else is the same.
async fn without_values<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let large = vec![b'x'; 500_000];
    bucket.put("large", &large).await.unwrap();
    bucket.put("empty", "").await.unwrap();
    bucket.delete("gone").await.unwrap();
    let before = bucket.client().stats().bytes_in;
    let mut reader = read(bucket.watch_all().meta_only(), &bucket).await;
    let mut entries = reader.initial().await;
    bucket.put("later", "123").await.unwrap();
    entries.push(reader.entry().await);
    let shape: Vec<_> = entries
        .iter()
        .map(|entry| (&*entry.key, entry.length, entry.operation))
        .collect();
    assert_eq!(
        shape,
        [
            ("large", 500_000, Operation::Put),
            ("empty", 0, Operation::Put),
            ("gone", 0, Operation::Delete),
            ("later", 3, Operation::Put),
        ]
    );
    assert!(entries.iter().all(|entry| entry.value.is_empty()));
    let came = bucket.client().stats().bytes_in - before;
    assert!(came < 50_000, "{came} bytes came");

    let mut reader = read(bucket.watch("large"), &bucket).await;
    let entry = reader.entry().await;
    assert!(entry.value == large);
    assert_eq!(entry.length, 500_000);
}

/// Only keys that match are told of: one key, one level, all levels.
async fn of_some_keys<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let keys = ["a", "a.b", "a.b.c", "a.x", "b", "b.b"];
    for key in keys {
        bucket.put(key, "1").await.unwrap();
    }
    for (filter, matching) in [
        ("a", &["1 a=1"][..]),
        ("a.*", &["2 a.b=1", "4 a.x=1"]),
        ("a.>", &["2 a.b=1", "3 a.b.c=1", "4 a.x=1"]),
        ("*.b", &["2 a.b=1", "6 b.b=1"]),
        ("*", &["1 a=1", "5 b=1"]),
        ("c.>", &[]),
    ] {
        let mut reader = read(bucket.watch(filter), &bucket).await;
        assert_eq!(told(&reader.initial().await), matching, "{filter}");
    }
    let mut reader = read(bucket.watch("a.*"), &bucket).await;
    reader.initial().await;
    bucket.put("a", "2").await.unwrap();
    bucket.put("a.b.c", "2").await.unwrap();
    let last = bucket.put("a.b", "2").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["9 a.b=2"]);
}

/// The keys of all filters, in one order, with as many filters as there may be.
async fn of_several_filters<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    for key in ["a.1", "b", "c.1", "a.2", "d"] {
        bucket.put(key, "1").await.unwrap();
    }
    let request = bucket.watch("a.*").filter("d").filter("c.>");
    let mut reader = read(request, &bucket).await;
    let initial = reader.initial().await;
    assert_eq!(told(&initial), ["1 a.1=1", "3 c.1=1", "4 a.2=1", "5 d=1"]);
    bucket.put("b", "2").await.unwrap();
    bucket.delete("d").await.unwrap();
    let last = bucket.put("c.1", "2").await.unwrap();
    let changes = reader.until(last).await;
    assert_eq!(told(&changes), ["7 d Delete", "8 c.1=2"]);

    let request = (1..MAX_FILTERS).fold(bucket.watch("d"), |request, number| {
        request.filter(format!("many.{number}.>"))
    });
    let mut reader = read(request, &bucket).await;
    assert_eq!(told(&reader.initial().await), ["7 d Delete"]);
}

/// Filters that a server would refuse (10138) are refused before anything is sent, by watches and
/// listings; so are too many.
async fn filters_that_overlap_are_refused_here<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let sent = bucket.client().stats().bytes_out;
    let filter = |text| KeyFilter::new(text).unwrap();
    for (one, other) in [("a.>", "a.b"), ("a.*", "*.b"), (">", "a"), ("a", "a")] {
        let overlap = WatchError::InvalidOptions(InvalidWatch::FiltersOverlap {
            one: filter(one),
            other: filter(other),
        });
        let error = bucket.watch(one).filter(other).await.unwrap_err();
        assert_eq!(error, overlap);
        assert!(!error.is_retryable());
        let keys = bucket.keys().filter(one).filter(other);
        assert_eq!(keys.collect().await, Err(overlap));
    }
    let many = (0..=MAX_FILTERS).fold(bucket.keys(), |keys, number| {
        keys.filter(format!("k{number}"))
    });
    let count = MAX_FILTERS + 1;
    let too_many = WatchError::InvalidOptions(InvalidWatch::TooManyFilters { count });
    assert_eq!(many.collect().await, Err(too_many));
    assert_eq!(bucket.client().stats().bytes_out, sent);
}

/// A text that is no filter, or no key where one is asked for, is a typed error before anything is sent:
/// the first one, whatever follows.
async fn invalid_names_are_refused_here<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let sent = bucket.client().stats().bytes_out;
    for (text, why) in [
        ("", InvalidFilter::Key(InvalidKey::Empty)),
        ("a..b", InvalidFilter::Key(InvalidKey::EmptyToken { at: 2 })),
        ("a.b*", InvalidFilter::Wildcard { at: 2 }),
        (">.a", InvalidFilter::Wildcard { at: 0 }),
    ] {
        let invalid = WatchError::InvalidFilter(why);
        let error = bucket.watch(text).filter("").heartbeat(super::HEARTBEAT);
        assert_eq!(error.await.unwrap_err(), invalid);
        let error = bucket.watch("a").filter(text).ignore_deletes().await;
        assert_eq!(error.unwrap_err(), invalid);
        assert_eq!(bucket.keys().filter(text).await.unwrap_err(), invalid);
        let keys = bucket.keys().filter(text).filter("a").collect();
        assert_eq!(keys.await, Err(invalid));
    }
    let wild = InvalidKey::Character { at: 2, byte: b'*' };
    let history = bucket.history("a.*").collect().await;
    assert_eq!(history, Err(WatchError::InvalidKey(wild)));
    assert_eq!(bucket.client().stats().bytes_out, sent);
}

/// Filters and keys may be texts, or names that were parsed before, owned or borrowed.
async fn names_of_every_type<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.put("a", "1").await.unwrap();
    let filter = KeyFilter::new("a").unwrap();
    let (name, text) = (key("a"), String::from("a"));
    let requests = [
        bucket.watch("a"),
        bucket.watch(&text),
        bucket.watch(text.clone()),
        bucket.watch(&filter),
        bucket.watch(filter.clone()),
        bucket.watch(&name),
        bucket.watch(name.clone()),
    ];
    for request in requests {
        let mut reader = read(request, &bucket).await;
        assert_eq!(told(&reader.initial().await), ["1 a=1"]);
    }
    let histories = [
        bucket.history("a"),
        bucket.history(&text),
        bucket.history(text.clone()),
        bucket.history(&name),
        bucket.history(name.clone()),
    ];
    for history in histories {
        assert_eq!(told(&history.collect().await.unwrap()), ["1 a=1"]);
    }
    let keys = bucket.keys().filter(&filter).filter("b").collect().await;
    assert_eq!(keys.unwrap(), ["a"]);
    let keys = bucket.keys().filter(name).filter(String::from("b"));
    assert_eq!(keys.collect().await.unwrap(), ["a"]);
}
