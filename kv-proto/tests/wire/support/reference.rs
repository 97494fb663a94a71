//! A second decoder, written to be obvious instead of fast, and a second
//! parser of header blocks. The fuzz targets use the same.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use kv_proto::wire::HeaderDefect;
use kv_proto::{Limits, ProtocolError};

use super::frames::{Op, Outcome};

/// The kinds of [`ProtocolError`], as far as a frame can cause them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    UnknownVerb,
    LineTooLong,
    InfoTooLong,
    Malformed(String),
    SizeTooLarge(u64),
    HeaderTooLarge(u64),
    HeaderLongerThanMessage,
    MissingTerminator,
}

#[allow(clippy::wildcard_enum_match_arm, reason = "other kinds are failures")]
pub fn kind(error: ProtocolError) -> Kind {
    match error {
        ProtocolError::UnknownVerb { .. } => Kind::UnknownVerb,
        ProtocolError::LineTooLong { .. } => Kind::LineTooLong,
        ProtocolError::InfoTooLong { .. } => Kind::InfoTooLong,
        ProtocolError::Malformed { verb, .. } => Kind::Malformed(verb.into()),
        ProtocolError::SizeTooLarge { size, .. } => Kind::SizeTooLarge(size),
        ProtocolError::HeaderTooLarge { size, .. } => Kind::HeaderTooLarge(size),
        ProtocolError::HeaderLongerThanMessage => Kind::HeaderLongerThanMessage,
        ProtocolError::MissingTerminator => Kind::MissingTerminator,
        other => panic!("no frame causes {other:?}"),
    }
}

pub fn reference(stream: &[u8], limits: &Limits) -> Outcome<Kind> {
    let mut outcome = Outcome {
        frames: Vec::new(),
        error: None,
    };
    loop {
        let start = outcome.consumed();
        match reference_frame(&stream[start..], limits) {
            Ok(Some((op, len))) => outcome.frames.push((op, start + len)),
            Ok(None) => return outcome,
            Err(kind) => {
                outcome.error = Some(kind);
                return outcome;
            }
        }
    }
}

fn reference_frame(input: &[u8], limits: &Limits) -> Result<Option<(Op, usize)>, Kind> {
    let line_end = input.iter().position(|&byte| byte == b'\n');
    let line_len = line_end.unwrap_or(input.len());
    let start = input[..input.len().min(4)].to_ascii_uppercase();
    if start == b"INFO" {
        if line_len > limits.max_info_line {
            return Err(Kind::InfoTooLong);
        }
    } else if !b"INFO".starts_with(&start) && line_len > limits.max_control_line {
        return Err(Kind::LineTooLong);
    }
    let Some(line_end) = line_end else {
        return Ok(None);
    };
    let mut line = input[..line_end].to_vec();
    if line.ends_with(b"\r") {
        line.pop();
    }
    let mut words: Vec<Vec<u8>> = line
        .split(|byte| b" \t".contains(byte))
        .map(<[u8]>::to_vec)
        .collect();
    let verb = String::from_utf8_lossy(&words.remove(0)).to_ascii_uppercase();
    words.retain(|word| !word.is_empty());

    let len = line_end + 1;
    let no_arguments = |op| match words.is_empty() {
        true => Ok(Some((op, len))),
        false => Err(Kind::Malformed(verb.clone())),
    };
    match &*verb {
        "INFO" => Ok(Some((Op::Info(blank_trim(&line[4..])), len))),
        "-ERR" => {
            let mut text = blank_trim(&line[4..]);
            if text.starts_with(b"'") {
                text.remove(0);
            }
            if text.ends_with(b"'") {
                text.pop();
            }
            Ok(Some((Op::Err(text), len)))
        }
        "PING" => no_arguments(Op::Ping),
        "PONG" => no_arguments(Op::Pong),
        "+OK" => no_arguments(Op::Ok),
        "MSG" | "HMSG" if line.contains(&b'\r') => Err(Kind::Malformed(verb)),
        "MSG" | "HMSG" => reference_message(&verb, &words, &input[len..], limits)
            .map(|found| found.map(|(op, body)| (op, len + body))),
        _ => Err(Kind::UnknownVerb),
    }
}

fn blank_trim(text: &[u8]) -> Vec<u8> {
    let blank = |byte: &u8| b" \t".contains(byte);
    let text: Vec<u8> = text.iter().copied().skip_while(blank).collect();
    let kept = text.iter().rev().skip_while(|byte| blank(byte)).count();
    text[..kept].to_vec()
}

fn reference_message(
    verb: &str,
    words: &[Vec<u8>],
    body: &[u8],
    limits: &Limits,
) -> Result<Option<(Op, usize)>, Kind> {
    let malformed = || Kind::Malformed(verb.into());
    let number = |word: &Vec<u8>| -> Result<u64, Kind> {
        let text = std::str::from_utf8(word).map_err(|_| malformed())?;
        match text.starts_with('+') {
            true => Err(malformed()),
            false => text.parse().map_err(|_| malformed()),
        }
    };
    let sizes = if verb == "HMSG" { 2 } else { 1 };
    if words.len() != 2 + sizes && words.len() != 3 + sizes {
        return Err(malformed());
    }
    let reply = (words.len() == 3 + sizes).then(|| words[2].clone());
    let sid = number(&words[1])?;
    let total = number(&words[words.len() - 1])?;
    let header = match sizes {
        2 => number(&words[words.len() - 2])?,
        _ => 0,
    };
    if total > limits.max_message as u64 {
        return Err(Kind::SizeTooLarge(total));
    }
    if header > total {
        return Err(Kind::HeaderLongerThanMessage);
    }
    if header > limits.max_header_bytes as u64 {
        return Err(Kind::HeaderTooLarge(header));
    }
    let (header, total) = (header as usize, total as usize);
    if body.len() < total + 2 {
        return Ok(None);
    }
    if &body[total..total + 2] != b"\r\n" {
        return Err(Kind::MissingTerminator);
    }
    let op = Op::Message {
        subject: words[0].clone(),
        sid,
        reply,
        headers: (header > 0).then(|| body[..header].to_vec()),
        payload: body[header..total].to_vec(),
    };
    Ok(Some((op, total + 2)))
}

/// A name and its value.
pub type Field = (Vec<u8>, Vec<u8>);

/// The fields of a block and all its defects, line by line.
pub fn reference_headers(block: &[u8], limits: &Limits) -> (Vec<Field>, Vec<HeaderDefect>) {
    let mut fields = Vec::new();
    let mut defects = Vec::new();
    let mut lines: Vec<&[u8]> = block.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.first().is_some_and(|line| is_version(line)) {
        let status = blank_trim(lines.remove(0)[8..].trim_ascii_end());
        let digits = status.len() >= 3 && status[..3].iter().all(u8::is_ascii_digit);
        let apart = status.get(3).is_none_or(|byte| b" \t".contains(byte));
        let readable = status.is_empty() || (digits && apart);
        if !readable {
            defects.push(HeaderDefect::BadStatus);
        } else if std::str::from_utf8(&status).is_err() {
            defects.push(HeaderDefect::NotUtf8);
        }
    } else {
        let first = lines.first().map_or(&b""[..], |line| line);
        defects.push(
            line_text(first)
                .err()
                .unwrap_or(HeaderDefect::NoVersionLine),
        );
    }
    let (mut ended, mut count) = (false, 0);
    for line in lines {
        if ended {
            defects.push(HeaderDefect::AfterEnd);
        }
        if line == b"\r\n" {
            ended = true;
            continue;
        }
        count += 1;
        if count > limits.max_header_lines {
            let limit = limits.max_header_lines;
            defects.push(HeaderDefect::TooManyLines { limit });
        }
        match line_text(line).and_then(name_and_value) {
            Ok(field) => fields.push(field),
            Err(defect) => defects.push(defect),
        }
    }
    if !ended {
        defects.push(HeaderDefect::Unterminated);
    }
    (fields, defects)
}

fn is_version(line: &[u8]) -> bool {
    let Ok(text) = line_text(line) else {
        return false;
    };
    let rest = text.strip_prefix(b"NATS/1.0");
    rest.is_some_and(|rest| rest.is_empty() || b" \t".contains(&rest[0]))
}

fn line_text(line: &[u8]) -> Result<&[u8], HeaderDefect> {
    let cr = line.iter().position(|&byte| byte == b'\r');
    match (cr, line) {
        (Some(at), _) if at + 2 == line.len() && line.ends_with(b"\n") => Ok(&line[..at]),
        (Some(_), _) => Err(HeaderDefect::LoneCr),
        (None, [.., b'\n']) => Err(HeaderDefect::LoneLf),
        (None, _) => Err(HeaderDefect::Unterminated),
    }
}

fn name_and_value(text: &[u8]) -> Result<Field, HeaderDefect> {
    if std::str::from_utf8(text).is_err() {
        return Err(HeaderDefect::NotUtf8);
    }
    let parts: Vec<&[u8]> = text.splitn(2, |&byte| byte == b':').collect();
    match parts[..] {
        [b"", _] => Err(HeaderDefect::EmptyName),
        [name, value] => Ok((name.to_vec(), blank_trim(value))),
        _ => Err(HeaderDefect::NoColon),
    }
}
