//! `republish` and `placement` of a configuration.

use crate::server::decode::Decoder;
use crate::server::json::{Json, Writer};
use crate::server::version::Version;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Republish {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) headers_only: bool,
}

/// Where a stream is wanted; a lone server only repeats it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) cluster: String,
    pub(crate) tags: Vec<String>,
    pub(crate) preferred: String,
}

impl Republish {
    pub(super) fn read(&mut self, json: &Json, read: &mut Decoder) {
        read.object(
            json,
            "server.RePublish",
            self,
            |out, name, json, read| match name {
                "src" => read.text(json, &mut out.source),
                "dest" => read.text(json, &mut out.destination),
                "headers_only" => read.bool(json, &mut out.headers_only),
                _ => false,
            },
        );
    }

    pub(super) fn json(&self) -> String {
        let mut out = Writer::object();
        out.some_text("src", &self.source)
            .text("dest", &self.destination)
            .some_bool("headers_only", self.headers_only);
        out.end()
    }
}

impl Placement {
    pub(super) fn read(&mut self, json: &Json, read: &mut Decoder, v: Version) {
        read.object(
            json,
            "server.Placement",
            self,
            |out, name, json, read| match name {
                "cluster" => read.text(json, &mut out.cluster),
                "tags" => read.texts(json, &mut out.tags),
                "preferred" if v.has_level_1() => read.text(json, &mut out.preferred),
                _ => false,
            },
        );
    }

    pub(super) fn json(&self) -> String {
        let mut out = Writer::object();
        out.some_text("cluster", &self.cluster)
            .some_texts("tags", &self.tags)
            .some_text("preferred", &self.preferred);
        out.end()
    }
}
