//! Replies of the JetStream API: acknowledgements, streams, consumers, messages, listings, and errors.
//!
//! Whatever is read is what the text says at that place, to somebody who only knows JSON; what the text does not say
//! is nothing; an error is told wherever there is one; nesting and memory are bounded; and no acknowledgement in
//! which nothing is wrong is refused, as that would make a write that succeeded a doubtful one.

use allocation_counter::measure;
use kv_proto::fuzzing::{Asked, GROWTH, reply};
use kv_proto::limits::MAX_JSON_DEPTH;
use kv_proto::wire::JsonError;
use kv_proto::{ServerError, Timestamp};
use serde_json::Value;

/// Reads a reply.
pub type Read = fn(Asked, &[u8]) -> Result<Result<Value, ServerError>, JsonError>;

/// What reading takes beside what grows with the text: the messages of errors.
const FIXED: usize = 4 * 1024;

/// The whole input is the reply, to everything that can be asked for.
pub fn check(data: &[u8]) {
    check_with(data, reply);
}

/// The same of any reader.
pub fn check_with(data: &[u8], read: Read) {
    // Texts that are not looked at need not be UTF-8.
    let said: Option<Value> = serde_json::from_str(&String::from_utf8_lossy(data)).ok();
    for asked in Asked::ALL {
        let mut result = None;
        let peak = measure(|| result = Some(read(asked, data).map(drop))).bytes_max;
        let bound = (GROWTH * data.len() + FIXED) as u64;
        assert!(peak <= bound, "{peak} bytes for {}", data.len());
        let Ok(reply) = read(asked, data) else {
            let well = said.as_ref().is_some_and(|said| is_ack(said, data));
            assert!(asked != Asked::Publish || !well, "{said:?}");
            continue;
        };
        // Nor need numbers that are not looked at be ones that fit anything.
        let Some(said) = said.as_ref() else {
            continue;
        };
        assert!(said.is_object() && depth(said) <= MAX_JSON_DEPTH);
        let error = said.get("error").filter(|error| !error.is_null());
        match reply {
            Ok(read) => {
                assert!(error.is_none(), "{said} is an error");
                fits(&read, said);
                let created = said.get("created").and_then(Value::as_str);
                let time = created.and_then(Timestamp::parse_rfc3339);
                assert!(asked != Asked::Stream || time.is_some());
            }
            Err(read) => told(&read, error.expect("there is an error")),
        }
    }
}

/// Fails unless all that was read was said, and nothing is there that was not.
fn fits(read: &Value, said: &Value) {
    match (read, said) {
        (Value::Object(read), Value::Object(said)) => {
            for (name, value) in read {
                fits(value, said.get(name).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(read), Value::Array(said)) => {
            assert_eq!(read.len(), said.len());
            read.iter()
                .zip(said)
                .for_each(|(one, text)| fits(one, text));
        }
        // A list is taken for an object whose fields it holds in their order; no server writes that.
        (Value::Object(_), Value::Array(_)) => {}
        (read, Value::Null) => assert!(is_nothing(read), "{read} was not said"),
        (read, said) => assert_eq!(read, said),
    }
}

fn is_nothing(read: &Value) -> bool {
    match read {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

/// Fails unless an error has the numbers that were said, and not more of the text than that.
fn told(read: &ServerError, said: &Value) {
    if said.is_array() {
        return;
    }
    let number = |name: &str| said.get(name).and_then(Value::as_u64);
    assert_eq!(Some(u64::from(read.code())), number("code").or(Some(0)));
    assert_eq!(read.err_code().map(u64::from), number("err_code"));
    let text = said.get("description").and_then(Value::as_str);
    assert!(text.unwrap_or_default().starts_with(read.description()));
    assert!(read.description().len() <= 512);
}

/// Whether a text is an acknowledgement in which nothing is wrong: fields of the right kind, each said once.
fn is_ack(said: &Value, data: &[u8]) -> bool {
    let (Some(fields), Ok(text)) = (said.as_object(), std::str::from_utf8(data)) else {
        return false;
    };
    let sound = fields.iter().all(|(name, value)| match name.as_str() {
        "stream" | "domain" => value.is_string(),
        "seq" => value.is_u64(),
        "duplicate" => value.is_boolean(),
        "error" => false,
        _ => true,
    });
    let names = ["stream", "domain", "seq", "duplicate", "error"];
    let once = |name: &&str| text.matches(&format!("\"{name}\"")).count() <= 1;
    // A name can be spelt with escapes too.
    sound && names.iter().all(once) && !text.contains('\\') && depth(said) <= MAX_JSON_DEPTH
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
