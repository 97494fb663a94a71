//! Paths that sessions take seldom, and that runs of a simulator shall have taken.
//!
//! A rule that no run ever needed is a rule that nothing has shown. With the feature `paths` each of these is
//! counted for the thread that takes it, and `take` returns the counts; without it nothing is left of them at compile
//! time. The feature is for simulators: never enable it in what is used.

#![cfg_attr(
    not(feature = "paths"),
    allow(unreachable_pub, reason = "public with the feature")
)]

#[cfg(feature = "paths")]
mod counted;

#[cfg(feature = "paths")]
pub use counted::take;
#[cfg(feature = "paths")]
pub(crate) use counted::took;

macro_rules! paths {
    ($($part:literal { $($name:ident: $how:literal,)* })*) => {
        /// A path through the core.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[cfg_attr(not(feature = "paths"), allow(dead_code, reason = "named where they are taken"))]
        pub enum Path {
            $($(
                #[doc = concat!("In the part *", $part, "*: ", $how, ".")]
                $name,
            )*)*
        }

        #[cfg(feature = "paths")]
        impl Path {
            /// All paths, part by part.
            pub const ALL: &[Self] = &[$($(Self::$name,)*)*];

            /// Returns the part of the core that it belongs to, and what happens on it.
            #[must_use]
            pub const fn name(self) -> (&'static str, &'static str) {
                match self {
                    $($(Self::$name => ($part, $how),)*)*
                }
            }
        }
    };
}

paths! {
    // What a write is answered, the first time and after a doubt.
    "evidence" {
        Acknowledged: "acknowledged",
        AcknowledgedAgain: "acknowledged as a duplicate",
        AcknowledgedNothing: "acknowledged at revision 0",
        AcknowledgedElsewhere: "acknowledged by another stream",
        AcknowledgedBelow: "acknowledged below what its token saw",
        NoAcknowledgement: "answered by no acknowledgement",
        Conflict: "wrong last sequence at the first attempt",
        ConflictInDoubt: "wrong last sequence after a doubt",
        ConflictUnnumbered: "wrong last sequence without a number",
        Later: "refused for the moment",
        InProcess: "the first attempt is still in process",
        Rejected: "rejected for good",
        NoResources: "no resources",
        AnotherError: "an error that proves nothing",
        RefusedInDoubt: "refused after a doubt",
        Nobody: "nobody there, or on its way",
        Denied: "denied",
        LostUnsent: "link lost before the first byte",
        LostInPart: "link lost within the frame",
        LostInPartInDoubt: "link lost within a frame that was sent before",
        LostPut: "link lost behind a put",
        LostNamed: "link lost behind a named write",
        LateInDoubt: "deadline over in doubt",
        LateUnanswered: "deadline over where nobody was there",
        LateUnsent: "deadline over before it had left",
        ClosedInDoubt: "closed in doubt",
        ClosedUnsent: "closed before it had left",
        LargeInDoubt: "too large for the next link, in doubt",
    }
    // How the outcome of a named write is found out.
    "resolution" {
        SentAgainFenced: "sent again, as the condition fences it",
        SentAgainRemembered: "sent again within the window",
        WindowOver: "looked for, as the window is over",
        SentAgainUnanswered: "sent again after a second without an answer",
        AppliedAnew: "sent again, and acknowledged anew",
        AppliedBefore: "sent again, and acknowledged as a duplicate",
        FoundAsLast: "its id is that of the last revision",
        FoundInHistory: "its id is in the history",
        RivalIsLast: "a rival's condition is that of the last revision",
        RivalInHistory: "a rival's condition is in the history",
        BaseIsKept: "what it expected and what followed are kept",
        BaseIsGone: "what it expected is gone",
        StillExpected: "the key is where it was expected",
        KeyWentBack: "the key is gone, or was set back",
        Overwritten: "nothing but the last is kept",
        NoHistory: "nothing that followed is kept",
        LostToRival: "lost in the same bucket",
        LostBucket: "lost with the bucket",
        StoodBefore: "a tombstone stood there before a create",
        LostEnd: "lost, or gone with the end of the stream",
        LostOverTombstone: "a create lost to a tombstone, and goes on",
        Unanswered: "nobody was there to ask",
        NotNow: "could not be asked for the moment",
        AskedOnNextLink: "asked again on the next link",
        GivenUp: "given up, as it may not be asked or tried for ever",
    }
    // Where a key is, for a write that lost.
    "look-up" {
        LookedValue: "a value",
        LookedTombstone: "a tombstone",
        LookedNothing: "nothing",
        LookedReplica: "asked of a replica, as the leader may not be",
        LookedBehind: "the replica is behind",
        LookedUnchanged: "the rival's write came to nothing",
        Probed: "nobody took the write, and the bucket is there",
        ProbedNoBucket: "nobody took the write, and there is no bucket",
    }
    // Acknowledgements that look like copies of older ones.
    "doubtful acknowledgement" {
        Lingered: "no better one follows",
        LingeredNamed: "no better one follows, and the write has a name",
        CheckedAnew: "the stream begins anew",
        CheckedSame: "the stream goes on",
        VerifiedOurs: "the message there is ours",
        VerifiedOther: "the message there is not ours",
    }
    "read" {
        BelowFloor: "below what is known",
        NothingBelowFloor: "nothing, of a key that is known",
        BelowForgotten: "below what was forgotten",
        AskedOrigin: "the leader is asked instead",
        LeaderIsBelow: "the leader shows less than is known",
        ExplainedAnew: "explained: another bucket",
        ExplainedAlone: "explained: one replica has lost its end",
        ExplainedGone: "explained: the key holds nothing",
        ExplainedEnded: "explained: what was newer may have ended by itself",
        ExplainedByTime: "explained: leaders say so for long",
        Unexplained: "unexplained, and asked again",
        LeaderDenied: "the leader may not be asked",
        StateDenied: "the state may not be asked for",
        Stale: "stale at the deadline",
        ReadNobody: "nobody there: is there a bucket?",
        ReadNoBucket: "there is no bucket",
        ReadDirectOff: "replicas may not answer any more",
        ReadLost: "asked again on the next link",
        ReadOther: "another key's revision",
        ReadStray: "an answer to somebody else",
    }
    // From the making of a consumer to its end.
    "feed" {
        Created: "a consumer is made",
        CreatedElse: "another consumer than was asked for",
        NameTaken: "its name is taken",
        BucketGone: "there is no bucket",
        RefusedFirst: "refused before it was ever open",
        RefusedOpen: "refused for the moment",
        NobodyMakes: "nobody answers who could make it",
        DeniedFeed: "its making or looking is denied",
        DeniedListening: "listening to it is denied",
        DeniedFlow: "its flow-control answer is denied",
        SameBucket: "verified: the same bucket",
        Unseen: "verified: another bucket, and nothing told of the former",
        Recreated: "verified: another bucket",
        Rewound: "verified: the bucket has lost its end",
        RewoundSeen: "verified: the last revision is another one",
        RewoundLive: "a revision comes a second time, and is another one",
        ToldBefore: "what was told comes again, and is left out",
        Gap: "a message is missing",
        StrayDelivery: "a message of another consumer, or a second time",
        HeartbeatMisses: "a heartbeat tells of a message that is missing",
        Silent: "two heartbeats are missing",
        ConsumerGone: "told that its consumer is gone",
        LeftLink: "its link is gone or left",
        Rested: "made again after a rest",
        AtOnce: "made again at once",
        Deleted: "its deletion is asked for",
        DeletedLater: "its deletion is asked for again later",
        DeletedTwice: "deleted again, as it may have been made since",
        ResumedBehind: "goes on at what was told last",
        StartedOver: "starts over, as nothing was told",
        FlowAnswered: "flow control answered at once",
        FlowHeld: "flow control answered when it was read",
        FlowStalled: "a heartbeat asks for the answer to flow control",
    }
    "initial data" {
        ByCount: "complete: as many as were counted",
        ByFloor: "complete: the leader's last",
        ByPassing: "complete: two heartbeats behind it",
        ByConfirmation: "complete: the consumer says so",
        ByStart: "complete: only updates are wanted",
        AskedFloor: "asks for the leader's last",
        AskedCount: "asks how far the consumer is",
        FloorDenied: "the leader may not be asked",
    }
    "back-pressure" {
        PausedFull: "paused: its budget is used up",
        PausedUnverified: "paused: too much before it was verified",
        Starved: "paused: no room for anything",
        GaveBack: "gave back what was not read",
        WentOn: "goes on as its reader has caught up",
        WentOnLater: "goes on after a rest, as others take the room",
        LetThrough: "one piece is let through over the limit",
    }
    "listing" {
        Impatient: "the server makes no progress in time",
        Interrupted: "interrupted, as the bucket is another one or has lost its end",
    }
    "removal" {
        PurgeLost: "a purge is lost with its link",
        RemovedBetter: "a key has moved on, and is left alone",
        RemovedNothing: "the tombstone is lost with the end of the bucket",
        RemovedElse: "the bucket is another one",
        RemovedLater: "not for the moment",
    }
    "session" {
        AskedSilence: "a question is asked again after silence",
        RepliedTwice: "a reply that nobody waits for",
        RepliedEarly: "a reply before its question has left",
        NobodyOnLink: "no responders",
        DeniedAll: "all of the refused publishes are known",
        DeniedSome: "not all of the refused publishes are known",
        DeafLink: "the reply inbox is denied",
        PingLate: "a ping interval without a sign of life",
        Dead: "a server that answers no ping is given up",
        PingOverheard: "unanswered pings while bytes arrive",
        MovedAway: "moves from a server that will go",
        StaysOnDuck: "stays on a server that will go, as there is no other",
        Drained: "what was in flight is answered, and the old link ends",
        DrainedLate: "what was in flight is not answered in time",
        Shrunk: "a frame is withdrawn, as the server takes less",
        Withdrawn: "a frame is withdrawn, as nobody waits for it any more",
        Orphaned: "a frame that was begun is finished, though nobody waits for it",
        BackOff: "a server rests longer after each failure",
        RefusedLogin: "a server refuses the credentials",
        ShortLife: "a link is thrown out at once",
        TakenLink: "a link is lost before it has lasted",
        LongLife: "a link that lasted is lost",
        NewServers: "servers are announced",
        GoneServers: "announced servers are gone",
        TimedOutHandshake: "a handshake takes too long",
        ClosedInTime: "closed with all done",
        ClosedLate: "closed with something undone",
        NoRoomForResult: "a result that there is no room for",
    }
}

/// Nothing is counted.
#[cfg(not(feature = "paths"))]
pub(crate) const fn took(_: Path) {}
