//! Messages of both directions, and what is said of them.

use super::super::record::LinkId;
use super::*;

fn gist(way: Way, bytes: &[u8]) -> Gist {
    Gist::of(&Frame {
        link: LinkId(0),
        way,
        head: bytes.to_vec(),
        size: bytes.len(),
        whole: true,
        swallowed: false,
        arrived: 0,
        pieces: 0,
    })
}

#[test]
fn a_few_words_say_what_a_message_is() {
    let up: &[(&[u8], Kind, &str)] = &[
        (b"PUB $KV.b.k1 _INBOX.x.0 3\r\n4:x\r\n", Kind::Write, "put k1 4:x"),
        (
            b"HPUB $KV.b.a.b _INBOX.x.0 71 71\r\nNATS/1.0\r\nKV-Operation: DEL\r\nNats-Expected-Last-Subject-Sequence: 7\r\n\r\n\r\n",
            Kind::Write,
            "del a.b @7",
        ),
        (b"PUB $JS.API.DIRECT.GET.KV_b.$KV.b.k0 r 0\r\n\r\n", Kind::Read, "DIRECT.GET k0"),
        (b"PUB $JS.API.STREAM.INFO.KV_b r 0\r\n\r\n", Kind::Api, "STREAM.INFO"),
        (b"PUB $JS.hub.API.$KV.b.k1 r 1\r\nx\r\n", Kind::Write, "put k1 x"),
        (b"PUB $JS.hub.API.DIRECT.GET.KV_b.$KV.b.k0 r 0\r\n\r\n", Kind::Read, "DIRECT.GET k0"),
        (b"PUB $JS.hub.API.STREAM.INFO.KV_b r 0\r\n\r\n", Kind::Api, "STREAM.INFO"),
        (b"PUB $JS.API.CONSUMER.DELETE.KV_b.c1 r 0\r\n\r\n", Kind::Api, "CONSUMER.DELETE c1"),
        (b"SUB _INBOX.x.* 1\r\n", Kind::Interest, "SUB _INBOX…* 1"),
        (
            b"PUB $JS.API.STREAM.MSG.GET.KV_b r 27\r\n{\"last_by_subj\":\"$KV.b.k0\"}\r\n",
            Kind::Read,
            "STREAM.MSG.GET k0",
        ),
        (b"PING\r\n", Kind::Ping, "PING"),
    ];
    let down: &[(&[u8], Kind, &str)] = &[
        (
            b"MSG r 1 25\r\n{\"stream\":\"KV_b\",\"seq\":2}\r\n",
            Kind::Reply,
            "seq 2",
        ),
        (
            b"MSG r 1 37\r\n{\"error\":{\"code\":400,\"err_code\":10071}}\r\n",
            Kind::Refusal,
            "error 10071",
        ),
        (
            b"HMSG r 1 28 28\r\nNATS/1.0 100 Idle Heartbeat\r\n\r\n\r\n",
            Kind::Beat,
            "100 Idle Heartbeat",
        ),
        (
            b"HMSG r 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
            Kind::Refusal,
            "503",
        ),
        (
            b"MSG i 2 $JS.ACK.KV_b.c.1.7.1.0.0 2\r\n8:\r\n",
            Kind::Delivery,
            "i 8:",
        ),
        (
            b"-ERR 'Stale Connection'\r\n",
            Kind::Refusal,
            "-ERR 'Stale Connection'",
        ),
        (
            b"INFO {\"server_name\":\"sim-1\"}\r\n",
            Kind::Handshake,
            "INFO sim-1",
        ),
        (b"\xffPING\r\n", Kind::Odd, "\\xffPING"),
    ];
    let up = up.iter().map(|one| (Way::Up, one));
    for (way, (bytes, kind, brief)) in up.chain(down.iter().map(|one| (Way::Down, one))) {
        let gist = gist(way, bytes);
        assert_eq!((gist.kind, gist.brief.as_str()), (*kind, *brief));
    }
}

#[test]
fn all_lines_of_a_message_are_there() {
    let bytes = b"HMSG s 1 re 20 23\r\nNATS/1.0\r\nA: <b>\r\n\r\n\x00\"x\r\n";
    let gist = gist(Way::Down, bytes);
    assert_eq!((gist.subject.as_str(), gist.reply.as_str()), ("s", "re"));
    let expected = ["HMSG s 1 re 20 23", "NATS/1.0", "A: <b>", "\"\\u{0}\"x\""];
    assert_eq!(gist.lines, expected);
}
