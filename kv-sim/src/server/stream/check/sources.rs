//! Which streams a mirror or a stream with sources can take messages from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::is_stream_name;
use crate::server::error::ApiError;
use crate::server::stream::Stream;
use crate::server::stream::config::{External, Mapping, Source, StreamConfig};
use crate::server::stream::transform::{self, Transform};
use crate::server::subject::{is_literal, is_valid, matches, overlap};
use crate::server::version::Version;

const API_PREFIX: &[u8] = b"$JS.API";
const NO_DURABLES: &str = "kv-sim: mirrors and sources by durable consumers are not simulated";

impl StreamConfig {
    /// Checks `mirror` and `sources`, and lets a mirror answer for its origin if that is read directly.
    pub(super) fn check_origins(
        &mut self,
        streams: &BTreeMap<String, Stream>,
        v: Version,
    ) -> Result<(), ApiError> {
        if let Some(mirror) = &self.mirror {
            self.check_mirror(mirror, streams, v)?;
            let inherits = mirror.external.is_none();
            if let Some(origin) = streams.get(&mirror.name).filter(|_| inherits) {
                self.mirror_direct = origin.config.allow_direct;
            }
        }
        let mut known = BTreeSet::new();
        for source in &self.sources {
            self.check_source(source, &mut known, streams, v)?;
        }
        self.check_externals(streams)?;
        self.check_cycles(streams)
    }

    fn check_mirror(
        &self,
        mirror: &Source,
        streams: &BTreeMap<String, Stream>,
        v: Version,
    ) -> Result<(), ApiError> {
        if self.first_seq > 0 {
            return Err(ApiError::MIRROR_FIRST_SEQ);
        }
        if !self.subjects.is_empty() {
            return Err(ApiError::MIRROR_WITH_SUBJECTS);
        }
        if !self.sources.is_empty() {
            return Err(ApiError::MIRROR_WITH_SOURCES);
        }
        if self.allow_counter {
            return Err(ApiError::MIRROR_WITH_COUNTERS);
        }
        if self.allow_atomic {
            return Err(ApiError::MIRROR_WITH_ATOMIC);
        }
        if mirror.durable {
            return Err(ApiError::invalid_config(NO_DURABLES));
        }
        if !mirror.filter.is_empty() && !mirror.transforms.is_empty() {
            return Err(ApiError::MIRROR_FILTERS);
        }
        if self.delete_marker_ttl > 0 {
            let why = "subject delete markers forbidden on mirrors";
            return Err(ApiError::invalid_config(why));
        }
        check_mirrored_subjects(&mirror.transforms, v)?;
        if mirror.external.is_some() {
            return Ok(());
        }
        if !is_stream_name(&mirror.name, v) {
            return Err(ApiError::MIRROR_NAME);
        }
        let origin = streams.get(&mirror.name);
        if origin.is_some_and(|origin| self.is_too_narrow_for(origin)) {
            return Err(ApiError::MIRROR_MAX_SIZE);
        }
        Ok(())
    }

    fn check_source(
        &self,
        source: &Source,
        known: &mut BTreeSet<String>,
        streams: &BTreeMap<String, Stream>,
        v: Version,
    ) -> Result<(), ApiError> {
        if !is_stream_name(&source.name, v) {
            return Err(ApiError::SOURCE_NAME);
        }
        if !known.insert(source.index_name()) {
            return Err(ApiError::SOURCE_DUPLICATE);
        }
        if source.durable {
            return Err(ApiError::invalid_config(NO_DURABLES));
        }
        let local = source.external.is_none();
        let origin = streams.get(&source.name).filter(|_| local);
        let narrow = origin.is_some_and(|origin| self.is_too_narrow_for(origin));
        if narrow && !v.promotes_mirrors() {
            return Err(ApiError::SOURCE_MAX_SIZE);
        }
        if local || v.promotes_mirrors() {
            if !source.filter.is_empty() && !source.transforms.is_empty() {
                return Err(ApiError::SOURCE_FILTERS);
            }
            check_sourced_subjects(&source.transforms, v)?;
        }
        if narrow {
            return Err(ApiError::SOURCE_MAX_SIZE);
        }
        Ok(())
    }

    fn is_too_narrow_for(&self, origin: &Stream) -> bool {
        let (own, theirs) = (self.max_msg_size, origin.config.max_msg_size);
        own > 0 && theirs > 0 && own < theirs
    }

    fn origins(&self) -> impl Iterator<Item = &Source> {
        self.mirror.iter().chain(&self.sources)
    }

    fn check_externals(&self, streams: &BTreeMap<String, Stream>) -> Result<(), ApiError> {
        let local = self.origins().filter(|one| one.external.is_none());
        let subjects: Vec<&String> = local
            .filter_map(|one| streams.get(&one.name))
            .flat_map(|origin| &origin.config.subjects)
            .collect();
        let externals = || self.origins().filter_map(|one| one.external.as_ref());
        for External { deliver, .. } in externals().filter(|one| !one.deliver.is_empty()) {
            if !is_literal(deliver.as_bytes()) {
                return Err(ApiError::external_delivery(deliver));
            }
            let clash = subjects.iter().find(|subject| {
                let delivered = format!("{deliver}.{subject}");
                overlap(subject.as_bytes(), delivered.as_bytes())
            });
            if let Some(subject) = clash {
                return Err(ApiError::external_delivery_overlap(deliver, subject));
            }
        }
        for External { api, .. } in externals().filter(|one| !one.api.is_empty()) {
            if !is_literal(api.as_bytes()) {
                return Err(ApiError::invalid_config(format!(
                    "stream external api prefix {api:?} must be a valid subject without wildcards"
                )));
            }
            if overlap(api.as_bytes(), API_PREFIX) {
                return Err(ApiError::external_overlap(api));
            }
        }
        Ok(())
    }

    /// No message may come back to where it was.
    fn check_cycles(&self, streams: &BTreeMap<String, Stream>) -> Result<(), ApiError> {
        let mut visited = BTreeSet::new();
        let mut to_visit = VecDeque::from([self]);
        while let Some(config) = to_visit.pop_front() {
            visited.insert(config.name.as_str());
            let comes_back = |one: &Source| {
                let filter = one.filter.as_bytes();
                let mut own = config.subjects.iter();
                one.filter.is_empty() || own.any(|own| overlap(own.as_bytes(), filter))
            };
            let sources = config.sources.iter().map(|one| (one, comes_back(one)));
            let mirror = config.mirror.iter().map(|one| (one, true));
            for (one, comes_back) in sources.chain(mirror) {
                if one.external.is_some() {
                    continue;
                }
                if visited.contains(one.name.as_str()) {
                    if comes_back {
                        return Err(ApiError::invalid_config("detected cycle"));
                    }
                } else if let Some(origin) = streams.get(&one.name) {
                    to_visit.push_back(&origin.config);
                }
            }
        }
        Ok(())
    }

    /// What is looked at only when a stream is made.
    ///
    /// # Errors
    ///
    /// Filters that are no subjects, and what 2.10 does not check before.
    pub(crate) fn check_made(&self, v: Version) -> Result<(), ApiError> {
        let failed = |text: String| Err(ApiError::create_failed(text));
        let kinds = self
            .mirror
            .iter()
            .map(|one| (one, "mirror"))
            .chain(self.sources.iter().map(|one| (one, "source")));
        for (one, kind) in kinds {
            let filter = &one.filter;
            if one.transforms.is_empty() && !filter.is_empty() && !is_valid(filter.as_bytes()) {
                let colon = if kind == "source" { ":" } else { "" };
                return failed(format!(
                    "subject filter '{filter}' for the {kind}{colon} invalid subject"
                ));
            }
            for Mapping {
                source,
                destination,
            } in &one.transforms
            {
                if let Err(why) = Transform::new(source, destination, v) {
                    return failed(format!(
                        "subject transform from '{source}' to '{destination}' for the {kind}: {}",
                        why.text()
                    ));
                }
            }
        }
        self.check_transform_made(v)
            .map_err(|why| ApiError::create_failed(format!("stream {why}")))
    }

    /// What 2.10 finds out about sources that a stream gets.
    ///
    /// # Errors
    ///
    /// Its words.
    pub(crate) fn check_sources_added(&self, old: &Self, v: Version) -> Result<(), String> {
        let has = |one: &Source| {
            old.sources
                .iter()
                .any(|had| had.index_name() == one.index_name())
        };
        let added = self.sources.iter().filter(|one| !has(one));
        for mapping in added.flat_map(|one| &one.transforms) {
            Transform::new(&mapping.source, &mapping.destination, v).map_err(|why| {
                format!("unable to get subject transform for source: {}", why.text())
            })?;
        }
        Ok(())
    }

    /// What 2.10 finds out about the mapping of a stream's own subjects.
    ///
    /// # Errors
    ///
    /// Its words.
    pub(crate) fn check_transform_made(&self, v: Version) -> Result<(), String> {
        let Some(mapping) = &self.subject_transform else {
            return Ok(());
        };
        let (source, destination) = (&mapping.source, &mapping.destination);
        Transform::new(source, destination, v)
            .map(drop)
            .map_err(|why| {
                let text = why.text();
                format!("subject transform from '{source}' to '{destination}': {text}")
            })
    }
}

fn check_mirrored_subjects(mappings: &[Mapping], v: Version) -> Result<(), ApiError> {
    let explained = v.explains_bad_mappings();
    for (at, one) in mappings.iter().enumerate() {
        let source = &one.source;
        let optional = explained && source.is_empty();
        if !optional && !is_valid(source.as_bytes()) {
            return Err(ApiError::mapping(
                10151,
                if explained {
                    format!("mirror transform source: invalid subject {source}")
                } else {
                    "mirror subject filter is invalid".to_owned()
                },
            ));
        }
        if explained {
            transform::validate(source, &one.destination, v).map_err(|why| {
                ApiError::mapping(10154, format!("mirror transform: {}", why.text()))
            })?;
        }
        let mut others = mappings.iter().enumerate();
        if others
            .any(|(other, two)| other != at && overlap(source.as_bytes(), two.source.as_bytes()))
        {
            return Err(ApiError::MIRROR_OVERLAP);
        }
    }
    Ok(())
}

fn check_sourced_subjects(mappings: &[Mapping], v: Version) -> Result<(), ApiError> {
    let explained = v.explains_bad_mappings();
    let invalid = |source: &str| {
        ApiError::mapping(
            10145,
            if explained {
                format!("source transform source: invalid subject {source}")
            } else {
                "source subject filter is invalid".to_owned()
            },
        )
    };
    for Mapping {
        source,
        destination,
    } in mappings
    {
        if explained && !source.is_empty() && !is_valid(source.as_bytes()) {
            return Err(invalid(source));
        }
        let checked = if explained {
            transform::validate(source, destination, v)
        } else {
            transform::validate_destination(destination, v)
        };
        checked.map_err(|why| {
            ApiError::mapping(
                10146,
                if explained {
                    format!("source transform: {}", why.text())
                } else {
                    "source transform destination is invalid".to_owned()
                },
            )
        })?;
    }
    for (at, one) in mappings.iter().enumerate() {
        if !explained && !is_valid(one.source.as_bytes()) {
            return Err(invalid(&one.source));
        }
        let mut others = mappings.iter().enumerate();
        if others.any(|(other, two)| {
            other != at && matches(one.source.as_bytes(), two.source.as_bytes())
        }) {
            return Err(ApiError::SOURCE_OVERLAP);
        }
    }
    Ok(())
}
