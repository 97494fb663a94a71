//! Scenes that show the planted bugs of reads.

use super::*;

/// The bug, the scene, what it shows in correct code, and what with the bug.
pub(crate) const SCENES: [(Mutant, Scene, &str, &str); 3] = [
    (
        Mutant::NobodyIsNotFound,
        nobody_answers_a_get_at_first,
        "found",
        "no such key",
    ),
    (
        Mutant::BadHeadersEndLink,
        a_message_has_bad_headers,
        "an error, link kept",
        "found, link lost",
    ),
    (
        Mutant::BadHeadersEndLink,
        a_message_has_bad_headers_beside_a_put,
        "applied at 2",
        "unknown",
    ),
];

fn nobody_answers_a_get_at_first() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "v");
    world.done(put).unwrap();
    world.peer.rule("$JS.API.DIRECT.GET.", Rule::Nobody);
    let get = world.get(&bucket, "k", GetOptions::default());
    read(&world.wait(get)).to_owned()
}

const BAD: &str = "NATS/1.0\r\nno colon\r\n\r\n";

fn a_message_has_bad_headers() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "v");
    world.done(put).unwrap();
    let bad = Rule::Headed(BAD.to_owned(), b"v".to_vec());
    world.peer.rule("$JS.API.DIRECT.GET.", bad);
    let get = world.get(&bucket, "k", GetOptions::default());
    let result = world.wait(get);
    format!("{}, {}", read(&result), link_kept(&world))
}

fn a_message_has_bad_headers_beside_a_put() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "v");
    world.done(put).unwrap();
    let bad = Rule::Headed(BAD.to_owned(), b"v".to_vec());
    world.peer.rule("$JS.API.DIRECT.GET.", bad);
    world.peer.rule("$KV.b.k", Rule::Hold);
    let put = world.put(&bucket, "k", "v");
    world.settle();
    let get = world.get(&bucket, "k", GetOptions::default());
    world.settle();
    world.session.cancel(get.id());
    world.peer.release(0);
    told(world.wait(put))
}
