//! What happens by itself as time goes by: expiry, markers, heartbeats, inactivity, forgotten ids.
//!
//! Each script runs in real time against a real server and in virtual time against the simulated one. The
//! moments looked at lie far from the moments things happen, because a real server is never exact.

mod consumers;
mod expiry;
mod pulls;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use kv_sim::server::Version;
use kv_tests::Server;

use crate::exceptions::Case;
use crate::frames::Frames;
use crate::real::Real;
use crate::sim::{Sim, real_version};

/// How often a script may be played until it agrees: a busy machine is late.
const ATTEMPTS: usize = 3;

enum Act {
    Say(String),
    /// Publishes, with that number of reply; `<mark>` in the body stands for the marked moment.
    Publish {
        number: usize,
        subject: String,
        headers: String,
        body: String,
    },
    /// Lets that many milliseconds pass.
    Wait(u64),
    /// Marks this moment, on each server's own clock.
    Mark,
    /// Marks the moment in so many milliseconds.
    MarkAhead(u64),
    /// Says something about the newest delivery of a bucket's consumer `c1`.
    Ack {
        number: usize,
        bucket: &'static str,
        body: &'static str,
    },
    /// Answers the newest flow-control request.
    AnswerFlow,
}

use Act::{Ack, AnswerFlow, Mark, MarkAhead, Publish, Say, Wait};

struct Script {
    name: &'static str,
    since: Version,
    acts: Vec<Act>,
}

fn ask(number: usize, subject: &str, body: &str) -> Act {
    put(number, subject, "", body)
}

fn put(number: usize, subject: &str, headers: &str, body: &str) -> Act {
    Publish {
        number,
        subject: subject.to_owned(),
        headers: headers.to_owned(),
        body: body.to_owned(),
    }
}

fn config(bucket: &str, more: &str) -> String {
    format!(
        "{{\"name\":\"KV_{bucket}\",\"subjects\":[\"$KV.{bucket}.>\"],\"storage\":\"memory\",\"allow_direct\":true,\"allow_rollup_hdrs\":true{more}}}"
    )
}

fn create(bucket: &str, more: &str) -> Act {
    let config = config(bucket, more);
    ask(1, &format!("$JS.API.STREAM.CREATE.KV_{bucket}"), &config)
}

fn consumer(number: usize, bucket: &str, more: &str) -> Act {
    let body = format!(
        "{{\"stream_name\":\"KV_{bucket}\",\"config\":{{\"name\":\"c1\",\"deliver_subject\":\"dv.{bucket}\",\"ack_policy\":\"none\",\"max_deliver\":1,\"mem_storage\":true,\"num_replicas\":1{more}}}}}"
    );
    ask(
        number,
        &format!("$JS.API.CONSUMER.CREATE.KV_{bucket}.c1"),
        &body,
    )
}

fn get(number: usize, bucket: &str, key: &str) -> Act {
    ask(
        number,
        &format!("$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}"),
        "",
    )
}

fn info(number: usize, bucket: &str) -> Act {
    ask(number, &format!("$JS.API.STREAM.INFO.KV_{bucket}"), "")
}

const LOGIN: &str = "CONNECT {\"verbose\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\nPING\r\nSUB _INBOX.d.* 1\r\n";

/// One playing of a script, as all play side by side on one server.
struct Player<'a> {
    script: &'a Script,
    on_disk: bool,
    sim: Sim,
    real: Real,
    /// The marked moment on the simulated and on the real clock.
    mark: (String, String),
}

impl Player<'_> {
    fn play(&mut self) {
        self.real.await_frames(1, Duration::from_secs(2));
        self.say(LOGIN, LOGIN);
        let script = self.script;
        for act in &script.acts {
            match act {
                Say(text) => self.say(text, text),
                Publish {
                    number,
                    subject,
                    headers,
                    body,
                } => {
                    let frame = |mark: &str| {
                        let body = self.own(&body.replace("<mark>", mark));
                        publish(subject, &format!("_INBOX.d.{number}"), headers, &body)
                    };
                    let (ours, theirs) = (frame(&self.mark.0), frame(&self.mark.1));
                    self.say(&ours, &theirs);
                }
                Wait(millis) => self.wait(Duration::from_millis(*millis)),
                Mark => self.mark = (self.sim.clock(0), Real::clock(0)),
                MarkAhead(millis) => self.mark = (self.sim.clock(*millis), Real::clock(*millis)),
                Ack {
                    number,
                    bucket,
                    body,
                } => {
                    let stream = self.own(&format!("KV_{bucket}"));
                    let frame = |frames: &Frames| {
                        let subject = frames.delivery(&stream, "c1", 0).unwrap_or_default();
                        publish(&subject, &format!("_INBOX.d.{number}"), "", body)
                    };
                    let (ours, theirs) = (frame(&self.sim.frames), frame(&self.real.frames));
                    self.say(&ours, &theirs);
                }
                AnswerFlow => {
                    let answer = |asked: &Option<String>| {
                        let subject = asked.clone().unwrap_or_default();
                        format!("PUB {subject} 0\r\n\r\n")
                    };
                    let ours = answer(&self.sim.frames.flow_request);
                    let theirs = answer(&self.real.frames.flow_request);
                    self.say(&ours, &theirs);
                }
            }
        }
        self.real.linger(Duration::from_millis(30));
    }

    /// Its own names: an inbox, and buckets in memory or on disk.
    fn own(&self, text: &str) -> String {
        let inbox: String = self
            .script
            .name
            .replace(|c: char| !c.is_ascii_alphabetic(), "-");
        let inbox = format!("_INBOX.{inbox}{}.", self.on_disk);
        let text = text.replace("_INBOX.d.", &inbox);
        if !self.on_disk {
            return text;
        }
        let mut text = text.replace("\"storage\":\"memory\"", "\"storage\":\"file\"");
        for name in ["KV_", "$KV.", "dv.", "*."] {
            text = text.replace(&format!("{name}T"), &format!("{name}F"));
        }
        text
    }

    fn say(&mut self, ours: &str, theirs: &str) {
        let (ours, theirs) = (self.own(ours), self.own(theirs));
        self.sim.send(ours.as_bytes());
        self.real.write(theirs.as_bytes());
        let expected = self.sim.frames.all.len();
        self.real.await_frames(expected, Duration::from_millis(300));
    }

    fn wait(&mut self, time: Duration) {
        self.sim.wait(time);
        let start = std::time::Instant::now();
        self.real.linger(time);
        thread::sleep(time.saturating_sub(start.elapsed()));
    }
}

pub(crate) fn publish(subject: &str, reply: &str, headers: &str, body: &str) -> String {
    if headers.is_empty() {
        return format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len());
    }
    let block = format!("NATS/1.0\r\n{headers}\r\n");
    let total = block.len() + body.len();
    format!(
        "HPUB {subject} {reply} {} {total}\r\n{block}{body}\r\n",
        block.len()
    )
}

fn play(script: &Script, on_disk: bool, server: &Server, version: Version) -> Result<(), String> {
    let mut player = Player {
        script,
        on_disk,
        sim: Sim::new(version, 1),
        real: Real::connect(server.addr()),
        mark: (String::new(), String::new()),
    };
    player.play();
    let (ours, theirs) = (player.sim.frames.groups(), player.real.frames.groups());
    let difference = difference(version, &ours, &theirs);
    if difference.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} on {version}, on disk: {on_disk}\n{difference}",
        script.name
    ))
}

fn difference(
    version: Version,
    ours: &BTreeMap<&str, Vec<&str>>,
    theirs: &BTreeMap<&str, Vec<&str>>,
) -> String {
    let mut out = String::new();
    for group in ours
        .keys()
        .chain(theirs.keys())
        .collect::<std::collections::BTreeSet<_>>()
    {
        let (own, other) = (ours.get(group), theirs.get(group));
        let none = Vec::new();
        let case = Case {
            version,
            steps: &[],
            group,
        };
        if own == other || case.explains(own.unwrap_or(&none), other.unwrap_or(&none)) {
            continue;
        }
        for frame in own.into_iter().flatten() {
            out += &format!("  ours {}\n", crate::cut(frame));
        }
        for frame in other.into_iter().flatten() {
            out += &format!("  real {}\n", crate::cut(frame));
        }
    }
    out
}

/// Plays every script, in memory and on disk; one that differs again, on a server that is not busy.
fn all_scripts_agree(version: Version) {
    let builder = Server::builder().version(real_version(version));
    let scripts = expiry::scripts().into_iter();
    let scripts = scripts.chain(consumers::scripts()).chain(pulls::scripts());
    let fitting: Vec<Script> = scripts.filter(|script| script.since <= version).collect();
    let mut waiting: Vec<(&Script, bool)> = fitting
        .iter()
        .flat_map(|script| [(script, false), (script, true)])
        .collect();
    let mut differences = Vec::new();
    for _ in 0..ATTEMPTS {
        let server = builder.clone().start();
        let server = &server;
        let reports: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = waiting
                .iter()
                .map(|&(script, on_disk)| {
                    scope.spawn(move || play(script, on_disk, server, version))
                })
                .collect();
            let ended = running.into_iter();
            ended
                .map(|one| one.join().expect("no script panics"))
                .collect()
        });
        let failed = waiting.into_iter().zip(&reports);
        waiting = failed
            .filter(|(_, report)| report.is_err())
            .map(|(one, _)| one)
            .collect();
        differences = reports.into_iter().filter_map(Result::err).collect();
        if differences.is_empty() {
            return;
        }
    }
    panic!("\n{}", differences.join("\n"));
}

#[test]
fn time_passes_as_in_2_15() {
    all_scripts_agree(Version::V2_15);
}

#[test]
fn time_passes_as_in_2_10() {
    all_scripts_agree(Version::V2_10);
}

#[test]
fn time_passes_as_in_the_versions_between() {
    if std::env::var("KV_SIM_SEQUENCES").is_ok() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            all_scripts_agree(version);
        }
    }
}
