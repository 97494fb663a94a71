//! Which subjects a stream can have, and what can become of them.

use crate::server::error::ApiError;
use crate::server::stream::config::StreamConfig;
use crate::server::stream::transform::{self, Transform};
use crate::server::subject;
use crate::server::version::Version;

impl StreamConfig {
    pub(super) fn check_subjects(&mut self) -> Result<(), ApiError> {
        let invalid = |why: String| Err(ApiError::invalid_config(why));
        if self.subjects.is_empty() {
            if self.mirror.is_none() && self.sources.is_empty() {
                self.subjects.push(self.name.clone());
            }
            return Ok(());
        }
        for (at, one) in self.subjects.iter().enumerate() {
            if !subject::is_valid(one.as_bytes()) {
                return invalid("invalid subject".to_owned());
            }
            if self.subjects.iter().take(at).any(|other| other == one) {
                return invalid("duplicate subjects detected".to_owned());
            }
            if one == ">" && !self.no_ack {
                return invalid("capturing all subjects requires no-ack to be true".to_owned());
            }
            if !self.no_ack {
                check_reserved(one)?;
            }
            let mut later = self.subjects.iter().skip(at + 1);
            let clash = later.find(|later| subject::overlap(later.as_bytes(), one.as_bytes()));
            if let Some(other) = clash.filter(|other| *other != one) {
                return invalid(format!("subject {one:?} overlaps with {other:?}"));
            }
            if clash.is_some() {
                return invalid(format!("subject {one:?} overlaps with {one:?}"));
            }
        }
        Ok(())
    }

    /// The mapping of its own subjects, which 2.10 looks at only when it makes the stream.
    pub(super) fn check_transform(&self, v: Version) -> Result<(), ApiError> {
        let Some(mapping) = self.subject_transform.as_ref().filter(|_| v.has_level_1()) else {
            return Ok(());
        };
        let source = &mapping.source;
        if !source.is_empty() && !subject::is_valid(source.as_bytes()) {
            return Err(ApiError::transform_source(source));
        }
        transform::validate(source, &mapping.destination, v)
            .map_err(|why| ApiError::transform_destination(why.text()))
    }

    pub(super) fn check_republish(&mut self, v: Version) -> Result<(), ApiError> {
        let mapping = self.subject_transform.as_ref().filter(|_| v.has_level_1());
        let Some(republish) = &mut self.republish else {
            return Ok(());
        };
        if republish.source.is_empty() {
            republish.source = ">".to_owned();
        }
        if let (Some(mapping), [only]) = (mapping, self.subjects.as_slice())
            && (republish.source.as_str(), republish.destination.as_str()) == (">", ">")
            && mapping.source == *only
        {
            republish.source.clone_from(&mapping.destination);
            republish.destination.clone_from(&mapping.destination);
        }
        let destination = republish.destination.as_bytes();
        let cycle = |one: &String| subject::overlap(destination, one.as_bytes());
        if self.subjects.iter().any(cycle) {
            let why = "stream configuration for republish destination forms a cycle";
            return Err(ApiError::invalid_config(why));
        }
        if Transform::new(&republish.source, &republish.destination, v).is_err() {
            return Err(ApiError::invalid_config(format!(
                "stream configuration for republish with transform from '{}' to '{}' not valid",
                republish.source, republish.destination
            )));
        }
        Ok(())
    }
}

fn check_reserved(one: &str) -> Result<(), ApiError> {
    let one = one.as_bytes();
    let js = ["$JS.>", "$JSC.>", "$NRG.>"];
    let on_api = js
        .iter()
        .any(|space| subject::overlap(one, space.as_bytes()));
    if on_api && !subject::matches(one, b"$JS.EVENT.>") {
        let why = "subjects that overlap with jetstream api require no-ack to be true";
        return Err(ApiError::invalid_config(why));
    }
    let on_system = subject::overlap(one, b"$SYS.>");
    if on_system && !subject::matches(one, b"$SYS.ACCOUNT.>") {
        let why = "subjects that overlap with system api require no-ack to be true";
        return Err(ApiError::invalid_config(why));
    }
    Ok(())
}
