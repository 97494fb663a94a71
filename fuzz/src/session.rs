//! A session under an embedder, a server and a user that do anything.
//!
//! The input is a script of a server that knows a few words of each kind and says them at random; what must hold is
//! said in `world.rs`.

use crate::input::Input;
use crate::world::World;

/// Longer scripts find nothing that shorter ones do not.
pub(crate) const MOST_STEPS: usize = 400;

/// The input is the script.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(input.byte());
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
        world.look();
    }
    world.end();
}

/// What servers say at the beginning, and now and then.
pub(crate) const INFOS: [&str; 5] = [
    r#"{"server_id":"N","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}"#,
    r#"{"server_id":"N","version":"2.10.26","proto":1,"headers":true,"max_payload":200,"jetstream":true,"nonce":"n"}"#,
    r#"{"version":"2.12.8","proto":1,"headers":true,"max_payload":4096,"jetstream":false,"ldm":true,"connect_urls":["a:1","b:2"]}"#,
    r#"{"version":"2.11.0","proto":1,"headers":true,"max_payload":65536,"jetstream":true,"auth_required":true,"tls_required":true}"#,
    "{}",
];

pub(crate) const LINES: [&str; 9] = [
    "PONG\r\n",
    "PING\r\n",
    "+OK\r\n",
    "-ERR 'Authorization Violation'\r\n",
    "-ERR 'Stale Connection'\r\n",
    "-ERR 'Permissions Violation for Publish to \"$KV.b.k0\"'\r\n",
    "-ERR 'Permissions Violation for Subscription to \"_INBOX.x.*\"'\r\n",
    "-ERR 'Maximum Payload Violation'\r\n",
    "-ERR 'news'\r\n",
];

/// What is answered to requests; `@` stands for a number.
pub(crate) const BODIES: [&str; 14] = [
    r#"{"stream":"KV_b","seq":@}"#,
    r#"{"stream":"KV_b","seq":@,"duplicate":true}"#,
    r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: @"},"stream":"KV_b","seq":0}"#,
    r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#,
    r#"{"error":{"code":503,"err_code":10008,"description":"system temporarily unavailable"}}"#,
    r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
    r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#,
    r#"{"error":{"code":500,"err_code":10999,"description":"news"}}"#,
    r#"{"config":{"name":"KV_b","subjects":["$KV.b.>"],"retention":"limits","max_msgs_per_subject":@,"allow_direct":true,"allow_rollup_hdrs":true,"deny_delete":true,"discard":"new","storage":"file","num_replicas":1,"duplicate_window":120000000000},"created":"2026-01-01T00:00:00Z","state":{"messages":@,"bytes":1,"first_seq":1,"last_seq":@}}"#,
    r#"{"message":{"subject":"$KV.b.k0","seq":@,"data":"dg==","time":"2026-01-01T00:00:00Z"}}"#,
    r#"{"message":{"subject":"$KV.b.k1","seq":@,"hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==","time":"2026-01-01T00:00:00Z"}}"#,
    r#"{"stream_name":"KV_b","name":"c","config":{"name":"c","deliver_subject":"x"},"created":"2026-01-01T00:00:00Z","delivered":{"consumer_seq":0,"stream_seq":0},"num_pending":@}"#,
    r#"{"success":true,"purged":@}"#,
    r#"{"total":@,"offset":0,"limit":2,"streams":["KV_a","KV_b"]}"#,
];

pub(crate) const BLOCKS: [&str; 6] = [
    "NATS/1.0 503\r\n\r\n",
    "NATS/1.0 404 Message Not Found\r\n\r\n",
    "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: @\r\nNats-Last-Stream: @\r\n\r\n",
    "NATS/1.0 100 FlowControl Request\r\n\r\n",
    "NATS/1.0\r\nNats-Stream: KV_b\r\nNats-Subject: $KV.b.k0\r\nNats-Sequence: @\r\nNats-Time-Stamp: 2026-01-01T00:00:00Z\r\n\r\n",
    "NATS/1.0\r\nKV-Operation: DEL\r\nX: a\rb\r\n\r\n",
];

fn step(world: &mut World, input: &mut Input<'_>) {
    match input.byte() % 16 {
        0 => world.act(),
        1 => line(world, input),
        2 => info(world, input),
        3 | 4 => answer(world, input),
        5 => delivery(world, input),
        6 => world.feed(input.bytes(64)),
        7 => drop(world.hand_over(usize::from(input.byte()) * 4)),
        8 => world.pass(input),
        9 => world.cut(input),
        10 => world.ask_to_write(input),
        11 => world.ask_to_read(input),
        12 => world.ask_for_buckets(input),
        13 => world.watch(input),
        14 => world.collect(input),
        _ => honest_server(world),
    }
}

fn line(world: &mut World, input: &mut Input<'_>) {
    world.feed(input.pick(&LINES).as_bytes());
}

fn info(world: &mut World, input: &mut Input<'_>) {
    let json = input.pick(&INFOS);
    world.feed(format!("INFO {json}\r\n").as_bytes());
}

/// What a good server does first.
fn honest_server(world: &mut World) {
    world.act();
    let json = INFOS[0];
    world.feed(format!("INFO {json}\r\n").as_bytes());
    drop(world.hand_over(usize::MAX));
    world.feed(b"PONG\r\n");
    drop(world.hand_over(usize::MAX));
}

fn reply(world: &World, input: &mut Input<'_>) -> Option<String> {
    let replies = &world.wires.get(&world.link()?)?.outgoing.replies;
    replies.get(input.below(replies.len())).cloned()
}

fn answer(world: &mut World, input: &mut Input<'_>) {
    let Some(reply) = reply(world, input) else {
        return;
    };
    let number = (input.byte() % 8).to_string();
    let choice = input.below(BODIES.len() + BLOCKS.len());
    let frame = match BODIES.get(choice) {
        Some(body) => {
            let body = body.replace('@', &number);
            format!("MSG {reply} 1 {}\r\n{body}\r\n", body.len())
        }
        None => headed(&reply, 1, BLOCKS[choice - BODIES.len()], &number),
    };
    world.feed(frame.as_bytes());
}

/// What a consumer delivers.
fn delivery(world: &mut World, input: &mut Input<'_>) {
    let sid = u64::from(input.byte() % 4) + 1;
    let numbers: Vec<u8> = (0..3).map(|_| input.byte() % 8).collect();
    let (stream, consumer, pending) = (numbers[0], numbers[1], numbers[2]);
    let ack = format!("$JS.ACK.KV_b.c.1.{stream}.{consumer}.1700000000000000000.{pending}");
    let frame = if input.byte() & 1 == 0 {
        format!("MSG $KV.b.k{} {sid} {ack} 1\r\nv\r\n", numbers[0] % 3)
    } else {
        headed("x.w.2", sid, input.pick(&BLOCKS), &consumer.to_string())
    };
    world.feed(frame.as_bytes());
}

fn headed(subject: &str, sid: u64, block: &str, number: &str) -> String {
    let block = block.replace('@', number);
    let len = block.len();
    format!("HMSG {subject} {sid} {len} {len}\r\n{block}\r\n")
}
