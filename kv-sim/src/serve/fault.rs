//! The faults of servers that are set up to be bad, and how they are written: `lost-ack=10,restart=30s`.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use super::error::FaultError;
use crate::server::Recurring;

/// Which message is met by a fault of messages that does not say.
const ONE_IN: NonZeroU64 = NonZeroU64::new(10).unwrap();
/// How often a calamity comes that does not say.
const EVERY: Duration = Duration::from_secs(10);

/// Something that goes wrong again and again.
///
/// ```
/// use kv_sim::serve::Fault;
///
/// let fault: Fault = "disconnect=500ms".parse()?;
/// assert_eq!(fault.to_string(), "disconnect=500ms");
/// let error = "restart=often".parse::<Fault>().unwrap_err();
/// assert!(error.to_string().starts_with("restart comes every so often"));
/// # Ok::<(), kv_sim::serve::FaultError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a message or a server, there is nothing else"
)]
pub enum Fault {
    /// It meets one in so many messages.
    Message(Recurring, NonZeroU64),
    /// It befalls the servers every so often.
    Servers(Calamity, Duration),
}

/// What befalls whole servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "each has a name on a command line")]
pub enum Calamity {
    /// All connections end without a word.
    Disconnect,
    /// The next of the servers stops and starts again.
    Restart,
    /// All servers crash, and every stream has lost its newest message when they are back.
    Rewind,
    /// Every stream is deleted and created again, empty, with the same configuration.
    Recreate,
    /// The leader of every replicated stream steps down; for a second there is none, and what is under way is
    /// stored and never acknowledged.
    Elect,
    /// The next of the servers lags: its replicas apply nothing until it is the turn of another.
    Lag,
}

impl Calamity {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Disconnect,
        Self::Restart,
        Self::Rewind,
        Self::Recreate,
        Self::Elect,
        Self::Lag,
    ];

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Disconnect => ("disconnect", "all connections end without a word"),
            Self::Restart => ("restart", "one server restarts, then the next one"),
            Self::Rewind => (
                "rewind",
                "all servers crash; each stream loses its newest message",
            ),
            Self::Recreate => (
                "recreate",
                "each stream is deleted and created again, empty",
            ),
            Self::Elect => (
                "elect",
                "each replicated stream has no leader for a second; what was under way is not acknowledged",
            ),
            Self::Lag => (
                "lag",
                "the replicas of one server stand still, then those of the next one",
            ),
        }
    }
}

const fn words(fault: Recurring) -> (&'static str, &'static str) {
    match fault {
        Recurring::LostAck => (
            "lost-ack",
            "a write is stored, its acknowledgement never comes",
        ),
        Recurring::SeveredAck => (
            "severed-ack",
            "a write is stored, the connection ends in place of its acknowledgement",
        ),
        Recurring::RefusedPublish => ("refused-publish", "a write is not stored: 503 10023"),
        Recurring::MisreportedPublish => (
            "misreported-publish",
            "a write is stored and answered with an error: 503 10077",
        ),
        Recurring::RefusedCall => (
            "refused-call",
            "a call about consumers, or a look at a stream, is refused: 503 10008",
        ),
        Recurring::DroppedDelivery => ("dropped-delivery", "a message to a watcher is lost"),
        Recurring::DoubledDelivery => ("doubled-delivery", "a message to a watcher comes twice"),
        Recurring::OvertakenDelivery => (
            "overtaken-delivery",
            "a message to a watcher comes after the next one",
        ),
        Recurring::OrphanedDelivery => (
            "orphaned-delivery",
            "a watcher's consumer vanishes before its message comes",
        ),
        Recurring::LostHeartbeat => ("lost-heartbeat", "a heartbeat to a watcher is lost"),
    }
}

impl Fault {
    /// Reads faults with commas between them; spaces around them do not matter.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that cannot be read.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, FaultError> {
        let parts = text.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect()
    }

    /// Returns what can be written, a line each, for people.
    #[must_use]
    pub fn menu() -> String {
        let mut out = String::from("one in so many messages is met, such as lost-ack=10:\n");
        for (name, what) in Recurring::ALL.map(words) {
            out += &format!("  {name:<20} {what}\n");
        }
        out += "every so often it happens, such as restart=30s:\n";
        for (name, what) in Calamity::ALL.map(Calamity::words) {
            out += &format!("  {name:<20} {what}\n");
        }
        out
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    /// Reads `name` or `name=value`.
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if let Some(fault) = Recurring::ALL.into_iter().find(|one| words(*one).0 == name) {
            let one_in = value.map_or(Some(ONE_IN), |value| value.parse().ok());
            return one_in
                .map(|one_in| Self::Message(fault, one_in))
                .ok_or_else(|| FaultError::NoNumber {
                    name: words(fault).0,
                    value: value.unwrap_or_default().to_owned(),
                });
        }
        if let Some(fault) = Calamity::ALL.into_iter().find(|one| one.words().0 == name) {
            return value
                .map_or(Some(EVERY), parse_time)
                .map(|every| Self::Servers(fault, every))
                .ok_or_else(|| FaultError::NoTime {
                    name: fault.words().0,
                    value: value.unwrap_or_default().to_owned(),
                });
        }
        let name = name.to_owned();
        Err(FaultError::Unknown { name })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(fault, one_in) => write!(f, "{}={one_in}", words(*fault).0),
            Self::Servers(fault, every) => {
                write!(f, "{}={}ms", fault.words().0, every.as_millis())
            }
        }
    }
}

/// Reads `500ms`, `5s`, `2m`: whole numbers, at least a millisecond.
fn parse_time(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fault that can be set can be written, and is read as what it was.
    #[test]
    fn every_fault_has_a_text_of_its_own() {
        let messages = Recurring::ALL.map(|fault| Fault::Message(fault, ONE_IN));
        let servers = Calamity::ALL.map(|fault| Fault::Servers(fault, EVERY));
        for fault in messages.into_iter().chain(servers) {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            let text = fault.to_string();
            let name = text.split('=').next().unwrap();
            assert_eq!(name.parse(), Ok(fault), "the default of {name}");
            assert!(Fault::menu().contains(&format!("\n  {name} ")), "{name}");
        }
    }

    #[test]
    fn times_have_units() {
        let seconds = |text| Fault::parse_list(&format!("lag={text}"));
        assert_eq!(seconds("2m"), seconds("120s"));
        assert_eq!(seconds(" 5s ".trim()), seconds("5000ms"));
        for bad in [
            "",
            "5",
            "0s",
            "s",
            "-1s",
            "1.5s",
            "5h",
            "99999999999999999999s",
            "400000000000000000m",
        ] {
            let error = FaultError::NoTime {
                name: "lag",
                value: bad.to_owned(),
            };
            assert_eq!(seconds(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn lists_say_what_is_wrong_first() {
        let both = Fault::parse_list(" lost-ack=3 , restart ,").unwrap();
        assert_eq!(both.len(), 2);
        let error = Fault::parse_list("lost-ack=3,lost-sleep,restart=x").unwrap_err();
        assert_eq!(
            error,
            FaultError::Unknown {
                name: "lost-sleep".into()
            }
        );
        for bad in ["0", "", "x", "-1"] {
            let error = Fault::parse_list(&format!("lost-ack={bad}")).unwrap_err();
            assert!(
                matches!(
                    error,
                    FaultError::NoNumber {
                        name: "lost-ack",
                        ..
                    }
                ),
                "{error}"
            );
        }
    }
}
