//! The versions of nats-server that are simulated, and where they differ.
//!
//! Each difference has a name here, so that the rest of the code asks "does this server do X?" and never
//! compares numbers.

use std::fmt;

/// The release line of nats-server that a simulated server behaves like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a test matches every line it covers"
)]
pub enum Version {
    /// Like 2.10.26.
    V2_10,
    /// Like 2.11.11.
    V2_11,
    /// Like 2.12.8.
    V2_12,
    /// Like 2.14.6.
    V2_14,
    /// Like 2.15.1.
    V2_15,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2_10,
        Self::V2_11,
        Self::V2_12,
        Self::V2_14,
        Self::V2_15,
    ];

    /// Returns the full number the server calls itself in INFO.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::V2_10 => "2.10.26",
            Self::V2_11 => "2.11.11",
            Self::V2_12 => "2.12.8",
            Self::V2_14 => "2.14.6",
            Self::V2_15 => "2.15.1",
        }
    }

    /// Returns the JetStream API level; `None` before levels existed.
    #[must_use]
    pub const fn api_level(self) -> Option<u32> {
        match self {
            Self::V2_10 => None,
            Self::V2_11 => Some(1),
            Self::V2_12 => Some(3),
            Self::V2_14 => Some(4),
            Self::V2_15 => Some(5),
        }
    }

    /// INFO carries `api_lvl`, and a second INFO follows the first PONG.
    pub(crate) fn has_connect_info(self) -> bool {
        self >= Self::V2_12
    }

    /// A 503 tells the subject that nobody serves.
    pub(crate) fn names_unserved_subject(self) -> bool {
        self >= Self::V2_12
    }

    /// Requests with unknown members are refused, and refusals tell why.
    pub(crate) fn has_strict_json(self) -> bool {
        self >= Self::V2_12
    }

    /// `invalid JSON` says what is wrong with it.
    pub(crate) fn explains_bad_json(self) -> bool {
        self >= Self::V2_11
    }

    /// Of several things wrong with a body, the first is told; before, a bad word or time is.
    pub(crate) fn tells_first_json_error(self) -> bool {
        self >= Self::V2_14
    }

    /// A status in the first line of a published header block is not stored.
    pub(crate) fn strips_status(self) -> bool {
        self >= Self::V2_12
    }

    /// Per-message TTL, delete markers, several messages in one direct get, `_nats.*` metadata, and
    /// `Nats-Expected-Last-Subject-Sequence-Subject`.
    pub(crate) fn has_level_1(self) -> bool {
        self >= Self::V2_11
    }

    /// Atomic batches, counters, schedules, `Nats-Required-Api-Level`, `no_hdr`.
    pub(crate) fn has_level_2(self) -> bool {
        self >= Self::V2_12
    }

    /// Subject mappings know `random`, and `partition` of a whole subject.
    pub(crate) fn extends_mappings(self) -> bool {
        self >= Self::V2_12
    }

    /// Configurations can have the mappings `left` and `right`.
    pub(crate) fn configures_cuts(self) -> bool {
        self >= Self::V2_15
    }

    /// A mapping with an empty token is refused with words about that token.
    pub(crate) fn names_empty_tokens(self) -> bool {
        self <= Self::V2_11
    }

    /// A mirror or source that is to begin beyond the end of its origin does so.
    pub(crate) fn takes_beyond_end(self) -> bool {
        self >= Self::V2_15
    }

    /// A number within a batch that is none is taken for a very large one.
    pub(crate) fn takes_bad_batch_numbers(self) -> bool {
        self == Self::V2_12
    }

    /// What a source has that cannot be stored comes again, and what was stored before is passed over. Before, a
    /// stream looked for the newest message that it has of that source, and went on behind it.
    pub(crate) fn repeats_what_failed(self) -> bool {
        self >= Self::V2_12
    }

    /// A stream with sources has no duplicate window of its own accord.
    pub(crate) fn needs_no_window(self) -> bool {
        self >= Self::V2_14
    }

    /// A mirror becomes a stream of its own when its configuration says so.
    pub(crate) fn promotes_mirrors(self) -> bool {
        self >= Self::V2_12
    }

    /// Mappings are looked at closely in every place, and refusals say what is wrong with them.
    pub(crate) fn explains_bad_mappings(self) -> bool {
        self >= Self::V2_11
    }

    /// Mirrors leave out conditions that were made when a message was published. Those of 2.10 check them again;
    /// where one fails, the real ones also count sequences wrong from then on, which is not simulated.
    pub(crate) fn mirrors_without_conditions(self) -> bool {
        self >= Self::V2_11
    }

    /// `Nats-Stream-Source` says which subject the message had.
    pub(crate) fn names_sourced_subject(self) -> bool {
        self >= Self::V2_12
    }

    /// Whoever takes messages from a stream notices that it was made anew.
    pub(crate) fn identifies_origins(self) -> bool {
        self >= Self::V2_15
    }

    /// A roll-up that comes from another stream is stored where roll-ups are not allowed, and rolls up nothing.
    pub(crate) fn takes_forbidden_rollups(self) -> bool {
        self >= Self::V2_14
    }

    /// Each message gives its batch more time.
    pub(crate) fn extends_batches(self) -> bool {
        self >= Self::V2_14
    }

    /// A batch may end with a message that is not stored, `eob`.
    pub(crate) fn ends_batches_bare(self) -> bool {
        self >= Self::V2_14
    }

    /// Fast ingest (`allow_batched`).
    pub(crate) fn has_level_4(self) -> bool {
        self >= Self::V2_14
    }

    /// Conditions are checked before the duplicate id (R1).
    pub(crate) fn checks_conditions_before_duplicates(self) -> bool {
        self >= Self::V2_12
    }

    /// Proposals are checked against what is under way, and what the leader admitted is not checked again.
    pub(crate) fn checks_proposals_once(self) -> bool {
        self >= Self::V2_12
    }

    /// A message that is too large is found out before any condition is checked.
    pub(crate) fn checks_size_first(self) -> bool {
        self >= Self::V2_15
    }

    /// The acknowledgement has a blank after its comma.
    pub(crate) fn spaces_acknowledgements(self) -> bool {
        self <= Self::V2_11
    }

    /// A message that exactly fills `max_bytes` is accepted, and one that replaces its equal in size.
    pub(crate) fn fills_max_bytes(self) -> bool {
        self >= Self::V2_14
    }

    /// `Nats-Stream-Source` is refused from publishers.
    pub(crate) fn refuses_source_header(self) -> bool {
        self >= Self::V2_15
    }

    /// A bad `Nats-Rollup` is answered at all.
    pub(crate) fn answers_bad_rollup(self) -> bool {
        self >= Self::V2_11
    }

    /// A new consumer's acknowledgement floor is stored as where it begins.
    pub(crate) fn saves_starting_floor(self) -> bool {
        self >= Self::V2_14
    }

    /// A consumer shows the last message it delivered, not how far it has looked.
    pub(crate) fn shows_saved_position(self) -> bool {
        self >= Self::V2_11
    }

    /// A consumer created as durable by subject also shows its name.
    pub(crate) fn names_durables(self) -> bool {
        self >= Self::V2_12
    }

    /// Both stores purge the same messages, and a purge below sequence 1 purges nothing.
    pub(crate) fn purges_alike(self) -> bool {
        self >= Self::V2_14
    }

    /// A limit for each subject, where there was none, is applied to what is stored.
    pub(crate) fn enforces_first_limit(self) -> bool {
        self >= Self::V2_14
    }

    /// How many consumers a stream takes that does not say.
    pub(crate) fn default_max_consumers(self) -> Option<usize> {
        (self >= Self::V2_15).then_some(1000)
    }

    /// An update may change how many consumers a stream takes.
    pub(crate) fn updates_max_consumers(self) -> bool {
        self >= Self::V2_12
    }

    /// An update to more replicas than a lone server can have is refused.
    pub(crate) fn checks_replicas_of_updates(self) -> bool {
        self >= Self::V2_14
    }

    /// The error about a bad stream name also names slashes.
    pub(crate) fn forbids_slashes_in_streams(self) -> bool {
        self >= Self::V2_12
    }

    /// A consumer cannot change where it keeps its state.
    pub(crate) fn fixes_consumer_storage(self) -> bool {
        self >= Self::V2_14
    }

    /// The file store may miss messages for a consumer with several filters.
    pub(crate) fn intersects_filters(self) -> bool {
        self <= Self::V2_11
    }

    /// After a restart, the ids of stored messages are looked for when one is asked for first.
    pub(crate) fn reads_ids_late(self) -> bool {
        self <= Self::V2_11
    }

    /// A limit of 0 for a stream's consumers is none, also when it is changed.
    pub(crate) fn knows_no_limit(self) -> bool {
        self >= Self::V2_14
    }

    /// The file store overwrites a deleted message before it tells consumers which subject that was on.
    pub(crate) fn erases_before_it_tells(self) -> bool {
        self == Self::V2_11
    }

    /// A purge moves a consumer to what is left of the purged subjects only if it wants no others.
    pub(crate) fn moves_covered_consumers_only(self) -> bool {
        self >= Self::V2_15
    }

    /// A consumer that is beyond the end of its stream after a restart goes back to it.
    pub(crate) fn reconciles_consumers(self) -> bool {
        self >= Self::V2_14
    }

    /// A full queue says nothing to pulls with heartbeats, so that they do not come back at once.
    pub(crate) fn hushes_full_queues(self) -> bool {
        self >= Self::V2_11
    }

    /// A pull that asks for a priority which its consumer does not know ends with the refusal.
    pub(crate) fn refuses_priority(self) -> bool {
        self >= Self::V2_14
    }

    /// Acknowledgements come on the longer subjects too.
    pub(crate) fn has_wide_acks(self) -> bool {
        self >= Self::V2_14
    }

    /// A flow-controlled consumer takes acknowledgements of what it has not delivered.
    pub(crate) fn trusts_flow_controlled_acks(self) -> bool {
        self >= Self::V2_14
    }

    /// A message that was to be delivered again, and is there no more, is ended.
    pub(crate) fn ends_vanished_redeliveries(self) -> bool {
        self >= Self::V2_12
    }

    /// What was delivered often enough lets the acknowledgement floor move on, and messages that are removed
    /// are forgotten everywhere.
    pub(crate) fn moves_floor_over_exhausted(self) -> bool {
        self >= Self::V2_14
    }

    /// A consumer's store forgets how often a message was delivered before it looks at the rest of an
    /// acknowledgement.
    pub(crate) fn forgets_counts_first(self) -> bool {
        self >= Self::V2_14
    }

    /// Where an idle consumer is about to end, back-off is looked up by the right sequence.
    pub(crate) fn counts_by_stream_seq(self) -> bool {
        self >= Self::V2_14
    }

    /// A consumer that delivers each message once counts none as delivered again.
    pub(crate) fn hides_counts_of_single_deliveries(self) -> bool {
        self >= Self::V2_11
    }

    /// Any update of a consumer lets it count afresh what is to come.
    pub(crate) fn recounts_on_updates(self) -> bool {
        self <= Self::V2_11
    }

    /// Within its snapshot a consumer is where the message is that it delivered last.
    pub(crate) fn follows_snapshots(self) -> bool {
        self >= Self::V2_11
    }

    /// A start beyond the end of the stream is taken literally.
    pub(crate) fn starts_beyond_end(self) -> bool {
        self >= Self::V2_11
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}
