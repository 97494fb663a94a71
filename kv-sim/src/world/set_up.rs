//! How a run begins: servers, a bucket, and clients that have opened it.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_proto::{BucketConfig, Instant};

use super::World;
use super::agenda::Touched;
use super::consumers::Makers;
use super::scribe::Scribe;
use crate::client::{Client, PASSWORD, USER, bucket_config};
use crate::coverage::{Coverage, Struck};
use crate::fault::Fault;
use crate::history::History;
use crate::net::Weather;
use crate::outcome::Work;
use crate::picture::Recorder;
use crate::scenario::{Act, Ask, Scenario};
use crate::server::rng::Rng;
use crate::server::{Auth, Cluster, Config, Permissions, ServerId, User, Version};
use crate::trace::Trace;
use crate::violation::Violation;

/// Everybody has opened the bucket by then.
const SET_UP: Duration = Duration::from_secs(30);

impl<'a> World<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        text: bool,
        recorder: Option<&'a mut Recorder>,
    ) -> Self {
        let profile = &scenario.profile;
        // A run before this one may have ended by a panic.
        drop(kv_proto::paths::take());
        let mut rng = Rng::new(scenario.seed ^ 0xB5AD_4ECE_DA1C_E2A9);
        let now = Instant::ORIGIN;
        let micros = |us: u32| Duration::from_micros(u64::from(us));
        let mut cluster = Cluster::new(config(scenario), rng.next());
        cluster.handle_timeout(now);
        let mut clients_rng = rng.child();
        let clients = (0..usize::from(profile.clients.count))
            .map(|id| {
                Client::new(
                    id,
                    profile,
                    scenario.domain_of(id),
                    clients_rng.child(),
                    now,
                )
            })
            .collect();
        Self {
            scenario,
            now,
            storm_at: Instant::END,
            next_step: 0,
            undo: BTreeMap::new(),
            undos: 0,
            max_payload: MAX_PAYLOAD,
            largest_message: largest_message(scenario),
            cluster,
            server_due: None,
            clients,
            wires: Vec::new(),
            weather: Weather {
                latency: micros(profile.net.latency_us),
                max_chunk: profile.net.max_chunk,
                window: profile.net.window,
                quantum: micros(profile.net.quantum_us).max(Duration::from_nanos(1)),
            },
            receptions: vec![None; usize::from(profile.servers)],
            timers_first: scenario.seed % 2 == 1,
            rng,
            history: History {
                replicated: profile.bucket.replicas > 1,
                lenient: profile.bucket.replicas > 1 && profile.version <= Version::V2_11,
                forgetful: profile.clients.few_floors,
                resurfaces: profile.bucket.markers && profile.bucket.history > 1,
                covered: profile.version < Version::V2_15,
                ..History::default()
            },
            journal_read: 0,
            makers: Makers::default(),
            calm_since: None,
            old_leader: None,
            coverage: Coverage::default(),
            struck: Struck::default(),
            trace: Trace::new(text),
            scribe: Scribe::new(scenario, recorder),
            violations: Vec::new(),
            work: Work::default(),
            touched: Touched::All,
        }
    }

    /// Lets all clients connect and open the bucket, in fair weather.
    pub(super) fn set_up(&mut self) {
        if !self.scenario.profile.bucket.direct {
            self.create_bucket_without_direct_reads();
        }
        self.note_conditions();
        let end = self.now + SET_UP;
        while self.clients.iter().any(|client| client.binding.is_none()) && self.now < end {
            let step = self.now + Duration::from_millis(20);
            self.run_until(step);
            if !self.violations.is_empty() {
                return;
            }
        }
        let without = self.clients.iter().find(|client| client.binding.is_none());
        if let Some(client) = without.map(|client| client.id) {
            self.broken(Violation::Unsettled {
                client,
                what: "never opened the bucket".into(),
            });
        }
    }

    /// Notes what is a matter of the whole run.
    fn note_conditions(&mut self) {
        let profile = &self.scenario.profile;
        let (net, clients) = (&profile.net, &profile.clients);
        let pieces = match net.max_chunk {
            0 | 1 => "byte by byte",
            2..=64 => "small pieces",
            _ => "large pieces",
        };
        self.coverage.hit_how("F-N1 chunking", pieces);
        let small = [
            (net.window < 16_000, "narrow window"),
            (clients.small_limits, "small limits"),
            (clients.few_floors, "few floors"),
        ];
        for (_, how) in small.into_iter().filter(|(small, _)| *small) {
            self.coverage.hit_how("F-C8 little room", how);
        }
        if clients.twins && clients.count > 1 {
            self.coverage.hit(Fault::TWINS);
        }
    }

    /// The configuration with which a client creates the bucket instead of opening it.
    pub(super) fn creates(&self, client: usize) -> Option<BucketConfig> {
        let profile = &self.scenario.profile;
        let first = client == 0 && self.storm_at == Instant::END;
        (first && profile.bucket.direct).then(|| bucket_config(profile))
    }

    /// Makes the bucket as an administrator does, from the configuration that a client would use.
    pub(super) fn create_bucket_without_direct_reads(&mut self) {
        let body = self.stream_config();
        self.administrate("$JS.API.STREAM.CREATE.KV_b", "", body.as_bytes());
    }

    fn stream_config(&self) -> String {
        let bucket = &self.scenario.profile.bucket;
        let mut more = String::new();
        if bucket.max_age_ms > 0 {
            more += &format!(",\"max_age\":{}", u64::from(bucket.max_age_ms) * 1_000_000);
        }
        if bucket.markers {
            more += ",\"allow_msg_ttl\":true,\"subject_delete_marker_ttl\":2000000000";
        }
        if bucket.max_bytes > 0 {
            more += &format!(",\"max_bytes\":{}", bucket.max_bytes);
        }
        format!(
            "{{\"name\":\"KV_b\",\"subjects\":[\"$KV.b.>\"],\"max_msgs_per_subject\":{},\"num_replicas\":{},\"storage\":\"{}\",\"discard\":\"new\",\"allow_rollup_hdrs\":true,\"deny_delete\":true,\"allow_direct\":{}{more}}}",
            bucket.history,
            bucket.replicas,
            if bucket.memory { "memory" } else { "file" },
            bucket.direct,
        )
    }

    /// Publishes as somebody who is no client of ours, without waiting for an answer.
    pub(super) fn administrate(&mut self, subject: &str, headers: &str, payload: &[u8]) {
        let servers = usize::from(self.scenario.profile.servers);
        let Some(conn) =
            (0..servers).find_map(|server| self.cluster.accept(self.now, ServerId(server)))
        else {
            return;
        };
        let mut bytes = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{USER}\",\"pass\":\"{PASSWORD}\"}}\r\n"
        )
        .into_bytes();
        let block = if headers.is_empty() {
            String::new()
        } else {
            format!("NATS/1.0\r\n{headers}\r\n")
        };
        let total = block.len() + payload.len();
        let line = if block.is_empty() {
            format!("PUB {subject} {total}\r\n")
        } else {
            format!("HPUB {subject} {} {total}\r\n", block.len())
        };
        for part in [line.as_bytes(), block.as_bytes(), payload, b"\r\n"] {
            bytes.extend_from_slice(part);
        }
        self.cluster.handle_input(self.now, conn, &bytes);
        self.cluster.handle_closed(self.now, conn);
        self.collect();
    }
}

/// What the servers take unless something is wrong.
pub(super) const MAX_PAYLOAD: usize = 1024 * 1024;

/// Value, headers and key together.
fn largest_message(scenario: &Scenario) -> usize {
    let sizes = scenario.steps.iter().map(|step| match step.act {
        Act::Call {
            ask: Ask::Put { size, .. } | Ask::Create { size, .. } | Ask::Update { size, .. },
            ..
        } => usize::try_from(size).unwrap_or(usize::MAX),
        Act::Call { .. } | Act::Follow { .. } | Act::Unfollow { .. } | Act::Fault(_) => 0,
    });
    sizes.max().unwrap_or(0).saturating_add(1_000)
}

fn config(scenario: &Scenario) -> Config {
    let profile = &scenario.profile;
    let micros = |us: u32| Duration::from_micros(u64::from(us));
    let mut config = Config::new(profile.version);
    config.servers = usize::from(profile.servers);
    config.max_payload = MAX_PAYLOAD;
    config.journal = true;
    config.replication.commit = micros(profile.commit_us);
    config.replication.lag = micros(profile.lag_us);
    config.replication.election = micros(profile.lag_us.saturating_mul(4));
    config.replication.prefers_own_server = !scenario.seed.is_multiple_of(4);
    if scenario.seed.is_multiple_of(3) && profile.net.latency_us <= 2_000 {
        config.ping_interval = Duration::from_secs(2);
    }
    if profile.consumers.flow_limit > 0 {
        config.flow_limit = u64::from(profile.consumers.flow_limit);
    }
    config.domain = scenario.domain().map(str::to_owned);
    config.wide_replies = profile.consumers.wide_replies;
    if profile.auth {
        config.auth = Auth::Users(vec![User {
            name: USER.into(),
            password: PASSWORD.into(),
            permissions: Permissions::default(),
        }]);
    }
    config
}
