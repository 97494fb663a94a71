//! What a configuration says about the streams it takes messages from: `mirror` and `sources`.

use kv_proto::Timestamp;

use crate::server::decode::Decoder;
use crate::server::json::{Json, Writer};
use crate::server::version::Version;

/// A mapping of subjects, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) source: String,
    pub(crate) destination: String,
}

/// Where a stream of another account or domain is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct External {
    pub(crate) api: String,
    pub(crate) deliver: String,
}

/// One stream that messages are taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) start_seq: u64,
    pub(crate) start_time: Option<Timestamp>,
    pub(crate) filter: String,
    pub(crate) transforms: Vec<Mapping>,
    pub(crate) external: Option<External>,
    /// Asked for a durable consumer, which is not simulated.
    pub(crate) durable: bool,
}

impl Source {
    pub(super) fn read(&mut self, json: &Json, read: &mut Decoder, v: Version) {
        read.object(
            json,
            "server.StreamSource",
            self,
            |out, name, json, read| match name {
                "name" => read.text(json, &mut out.name),
                "opt_start_seq" => read.number(json, &mut out.start_seq),
                "opt_start_time" => read.time(json, &mut out.start_time),
                "filter_subject" => read.text(json, &mut out.filter),
                "subject_transforms" => read.list(json, &mut out.transforms, |out, json, read| {
                    out.read(json, read);
                }),
                "external" => out.read_external(json, read),
                "consumer" if v.has_level_4() => {
                    out.durable = *json != Json::Null;
                    true
                }
                _ => false,
            },
        );
    }

    fn read_external(&mut self, json: &Json, read: &mut Decoder) -> bool {
        if *json == Json::Null {
            self.external = None;
            return true;
        }
        let external = self.external.get_or_insert_default();
        read.object(
            json,
            "server.ExternalStream",
            external,
            |out, name, json, read| match name {
                "api" => read.text(json, &mut out.api),
                "deliver" => read.text(json, &mut out.deliver),
                _ => false,
            },
        );
        true
    }

    pub(super) fn json(&self) -> String {
        let mut out = Writer::object();
        out.text("name", &self.name)
            .some_number("opt_start_seq", self.start_seq);
        if self.start_time.is_some() {
            out.time("opt_start_time", self.start_time);
        }
        out.some_text("filter_subject", &self.filter).some_list(
            "subject_transforms",
            self.transforms.iter().map(Mapping::json),
        );
        if let Some(external) = &self.external {
            out.raw("external", &external.json());
        }
        out.end()
    }

    /// What tells sources of one stream apart, as the server writes it: the stream, what is taken of it,
    /// and what subjects become.
    pub(crate) fn index_name(&self) -> String {
        let all = |text: &str| if text.is_empty() { ">" } else { text }.to_owned();
        let (from, to): (Vec<String>, Vec<String>) = if self.transforms.is_empty() {
            (vec![all(&self.filter)], vec![">".to_owned()])
        } else {
            let mappings = self.transforms.iter();
            mappings
                .map(|one| (all(&one.source), all(&one.destination)))
                .unzip()
        };
        format!("{} {} {}", self.name, from.join("\x0c"), to.join("\x0c"))
    }

    /// The subjects that are taken; none given means all.
    pub(crate) fn filters(&self) -> Vec<String> {
        let mappings = self.transforms.iter().map(|one| one.source.clone());
        let filter = Some(self.filter.clone()).filter(|filter| !filter.is_empty());
        mappings.chain(filter).collect()
    }
}

impl Mapping {
    pub(super) fn read(&mut self, json: &Json, read: &mut Decoder) {
        read.object(
            json,
            "server.SubjectTransformConfig",
            self,
            |out, name, json, read| match name {
                "src" => read.text(json, &mut out.source),
                "dest" => read.text(json, &mut out.destination),
                _ => false,
            },
        );
    }

    pub(crate) fn json(&self) -> String {
        let mut out = Writer::object();
        out.text("src", &self.source)
            .text("dest", &self.destination);
        out.end()
    }
}

impl External {
    pub(crate) fn json(&self) -> String {
        let mut out = Writer::object();
        out.text("api", &self.api).text("deliver", &self.deliver);
        out.end()
    }
}
