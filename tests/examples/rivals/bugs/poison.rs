//! Some other client stored an entry whose header block breaks the rules; servers relay such blocks as they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use futures_util::StreamExt;
use kv_sim::serve::Server;
use kv_tokio::ReadError;

use super::{Conduct, PATIENCE, our_bucket, said, their_bucket};

/// How long nothing may take, lest a client that has died hold everything up.
const HANGS: Duration = Duration::from_secs(3);

/// Stores an entry with a lone CR in a header, as a careless client can.
fn store(server: &Server, key: &str) {
    let mut stream = TcpStream::connect(server.addresses()[0]).unwrap();
    let block = "NATS/1.0\r\nX: a\rb\r\n\r\n";
    let (head, all) = (block.len(), block.len() + 1);
    let frames = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nHPUB $KV.b.{key} {head} {all}\r\n{block}v\r\nPING\r\n"
    );
    stream.write_all(frames.as_bytes()).unwrap();
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"PONG\r\n") {
        stream.read_exact(&mut byte).unwrap();
        heard.extend(byte);
    }
}

pub(super) async fn async_nats(server: &Server) -> Conduct {
    let bucket = their_bucket(server).await;
    bucket.put("good", "1".into()).await.unwrap();
    store(server, "bad");
    let mut told = vec![said("get good", &bucket.get("good").await)];
    let bad = tokio::time::timeout(HANGS, bucket.get("bad")).await;
    told.push(said("get bad", &bad));
    let good = tokio::time::timeout(HANGS, bucket.get("good")).await;
    told.push(said("get good again", &good));
    let later = their_bucket_again(server).await;
    // In a task of its own, as it panics.
    let keys = async move { later.keys().await.unwrap().collect::<Vec<_>>().await };
    let keys = tokio::spawn(tokio::time::timeout(HANGS, keys)).await;
    told.push(said("keys, by a new client", &keys));
    Conduct {
        is_right: matches!(good, Ok(Ok(Some(value))) if value == "1"),
        told,
    }
}

async fn their_bucket_again(server: &Server) -> async_nats::jetstream::kv::Store {
    let options = async_nats::ConnectOptions::new().request_timeout(Some(PATIENCE));
    let client = options.connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    context.get_key_value("b").await.unwrap()
}

pub(super) async fn kv_tokio(server: &Server) -> Conduct {
    let bucket = our_bucket(server).await;
    bucket.put("good", "1").await.unwrap();
    store(server, "bad");
    let before = bucket.get("good").await;
    let bad = bucket.get("bad").await;
    let good = bucket.get("good").await;
    let keys = bucket.keys().collect().await;
    let connects = bucket.client().stats().connects;
    Conduct {
        is_right: matches!(bad, Err(ReadError::Malformed { .. }))
            && matches!(&good, Ok(Some(value)) if value == "1")
            && keys.is_ok()
            && connects == 1,
        told: vec![
            said("get good", &before),
            said("get bad", &bad),
            said("get good again", &good),
            said("keys", &keys),
        ],
    }
}
