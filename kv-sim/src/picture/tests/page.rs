//! The page is one well-formed document that needs nothing else, and nothing in a recording can become markup.

use kv_proto::Instant;

use super::super::*;
use super::runs;
use crate::fault::Way;
use crate::run_recorded;

/// An element as it begins: its name and its attributes.
type Element = (String, Vec<(String, String)>);

/// Reads a page as XML is read, and returns all elements; what is not well-formed is an error.
fn elements(page: &str) -> Result<Vec<Element>, String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").ok_or("no type")?;
    let (mut open, mut all) = (Vec::<String>::new(), Vec::new());
    while !rest.is_empty() {
        let raw = open
            .last()
            .filter(|name| ["script", "style"].contains(&name.as_str()));
        let end = match raw {
            Some(name) => rest.find(&format!("</{name}>")),
            None => rest.find('<'),
        };
        let (text, tag) = rest.split_at(end.unwrap_or(rest.len()));
        if raw.is_none() {
            check_text(text)?;
        }
        let Some(tag) = tag.strip_prefix('<') else {
            break;
        };
        let (inside, behind) = tag
            .split_once('>')
            .ok_or_else(|| format!("open: {tag:.40}"))?;
        rest = behind;
        if let Some(name) = inside.strip_prefix('/') {
            let last = open.pop();
            if last.as_deref() != Some(name) {
                return Err(format!("{last:?} ends as {name}"));
            }
            continue;
        }
        let (inside, closed) = match inside.strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let element = element(inside)?;
        if !closed {
            open.push(element.0.clone());
        }
        all.push(element);
    }
    if open.is_empty() {
        Ok(all)
    } else {
        Err(format!("never closed: {open:?}"))
    }
}

fn element(inside: &str) -> Result<Element, String> {
    let (name, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("no name: {inside:.40}"));
    }
    let mut attributes = Vec::new();
    while !rest.trim_start().is_empty() {
        let (key, value) = rest.trim_start().split_once("=\"").ok_or(rest)?;
        let (value, behind) = value.split_once('"').ok_or(rest)?;
        if !key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || b"-BVaARCht".contains(&byte))
        {
            return Err(format!("no attribute: {key:.40}"));
        }
        check_text(value)?;
        attributes.push((key.to_owned(), value.to_owned()));
        rest = behind;
    }
    Ok((name.to_owned(), attributes))
}

fn check_text(text: &str) -> Result<(), String> {
    let odd = |char: char| "<>".contains(char) || (char.is_control() && char != '\n');
    if let Some(at) = text.find(odd) {
        return Err(format!("odd at {at}: {text:.80}"));
    }
    for (_, behind) in text.match_indices('&').map(|(at, _)| text.split_at(at)) {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        if !known.iter().any(|entity| behind.starts_with(entity)) {
            return Err(format!("no entity: {behind:.20}"));
        }
    }
    Ok(())
}

#[test]
fn the_reader_sees_what_is_wrong() {
    let page = |body: &str| format!("<!DOCTYPE html>\n<a>{body}</a>");
    for good in [
        "",
        "x &lt; y",
        "<b c=\"d\"/>",
        "<script>a < b && c</script>",
    ] {
        assert!(elements(&page(good)).is_ok(), "{good}");
    }
    for bad in [
        "<b>",
        "</b>",
        "a & b",
        "a > b",
        "<b c=d/>",
        "<b c=\"<\"/>",
        "\u{1b}",
        "<>",
    ] {
        assert!(elements(&page(bad)).is_err(), "{bad}");
    }
}

#[test]
fn pages_are_well_formed_and_need_nothing_else() {
    for scenario in runs() {
        let (_, recording) = run_recorded(&scenario);
        let page = draw(&recording);
        let all = elements(&page).expect("it is well-formed");
        assert!(all.len() > 500);
        let foreign = ["src", "href", "srcset", "action", "onclick", "onload"];
        let mut attributes = all.iter().flat_map(|(_, attributes)| attributes);
        assert!(attributes.all(|(name, _)| !foreign.contains(&name.as_str())));
        let style = page.split_once("<style>").expect("it has a style").1;
        let style = style.split_once("</style>").expect("it ends").0;
        assert!(!style.contains("url(") && !style.contains("@import"));
        let mut ids: Vec<_> = all.iter().flat_map(|(_, attributes)| attributes).collect();
        ids.retain(|(name, _)| name == "id");
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id is there twice");
    }
}

#[test]
fn the_same_run_is_the_same_page() {
    for scenario in runs() {
        let first = draw(&run_recorded(&scenario).1);
        assert!(
            first == draw(&run_recorded(&scenario).1),
            "{}",
            scenario.seed
        );
    }
}

/// What somebody might put into a key, a payload, a name or an error.
const EVIL: &str = "</script></title></style><script>evil()</script><img src=x onerror=evil()>\"'&]]>--!>\u{0}\u{1b}";

/// A recording with that text wherever there can be text.
fn evil() -> Recording {
    let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
    let words = || Words::new(EVIL, Tone::Bad).with(EVIL);
    let mut recorder = Recorder::new(EVIL);
    recorder.fact(EVIL, EVIL);
    let client = recorder.lane(Role::Client, EVIL);
    let stream = recorder.lane(Role::Stream, EVIL);
    let server = recorder.lane(Role::Server, EVIL);
    recorder.became(at(0), server, State::Up);
    recorder.became(at(0), stream, State::Led(server));
    let link = recorder.dial(at(0), client, Some(server), EVIL);
    recorder.connected(at(1), link);
    let size = EVIL.len();
    let put = format!("PUB $KV.b.{EVIL} {EVIL} {size}\r\n{EVIL}\r\n");
    let header = format!("NATS/1.0 503 {EVIL}\r\nA: {EVIL}\r\n\r\n");
    let answer = format!(
        "HMSG {EVIL} 1 {} {}\r\n{header}\r\n",
        header.len(),
        header.len()
    );
    let info = format!("INFO {{\"server_name\":\"{EVIL}\"}}\r\n-ERR '{EVIL}'\r\n{EVIL}\r\n");
    for (way, bytes) in [(Way::Up, &put), (Way::Down, &answer), (Way::Down, &info)] {
        recorder.sent(at(2), link, way, bytes.as_bytes(), bytes.as_bytes());
        recorder.arrived(at(3), link, way, bytes.len());
    }
    recorder.sent(at(4), link, Way::Up, EVIL.as_bytes(), b"");
    let call = Call {
        lane: client,
        name: EVIL.into(),
        title: EVIL.into(),
        detail: EVIL.into(),
        until: Some(at(7)),
    };
    let call = recorder.call(at(5), call);
    recorder.told(at(6), call, words());
    recorder.answered(at(8), call, words());
    for on in [On::All, On::One(server), On::LinksOf(client)] {
        let (title, detail) = (EVIL.into(), EVIL.into());
        let until = Some(at(9));
        let strike = Strike {
            on,
            title,
            detail,
            until,
        };
        recorder.strike(at(8), strike);
    }
    let note = Some(recorder.note(at(9), stream, words()));
    recorder.note(at(9), client, words());
    recorder.phase(at(10), EVIL);
    recorder.ended(at(10), link, Side::Server, EVIL);
    let (call, lane) = (Some(call), Some(client));
    recorder.broken(at(11), EVIL, Concerns { call, lane, note });
    recorder.finish(at(12))
}

#[test]
fn what_is_recorded_never_becomes_markup() {
    let page = draw(&evil());
    let all = elements(&page).expect("it is well-formed");
    let count = |wanted: &str| all.iter().filter(|(name, _)| name == wanted).count();
    assert_eq!((count("script"), count("style"), count("img")), (1, 1, 0));
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    // It is all there, as text.
    let shown = "&lt;script&gt;evil()&lt;/script&gt;";
    assert!(
        page.matches(shown).count() > 30,
        "{}",
        page.matches(shown).count()
    );
    let mut attributes = all.iter().flat_map(|(_, attributes)| attributes);
    assert!(attributes.all(|(name, _)| !name.starts_with("on")));
}

#[test]
fn a_broken_promise_leads_to_what_it_concerns() {
    let page = draw(&evil());
    for expected in [
        "id=\"jump\"",
        "data-to=\"c0\"",
        "data-g=\"c0\"",
        "data-only=\"l0\"",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    let to = page
        .split("data-to=\"n")
        .nth(1)
        .expect("it leads to the note");
    let note = to.split('"').next().expect("it ends");
    assert!(page.contains(&format!("data-g=\"n{note}\"")));
}
