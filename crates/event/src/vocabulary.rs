//! The closed sets of words that columns may hold: each is an enum here and a text in every
//! table, rule and API answer.

use std::fmt;
use std::str::FromStr;

/// Declares an enum whose variants have one text each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every word, in declaration order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word as it stands in tables and answers.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err(UnknownWord { word: text.to_owned(), set: stringify!($name) }),
                }
            }
        }
    };
}

/// A text that is not in the closed set it was read for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a known {set}")]
pub struct UnknownWord {
    word: String,
    set: &'static str,
}

words! {
    /// How much a record can be trusted to say what the database wrote.
    Evidence {
        /// Structured: JSON, a proxy's protocol.
        A = "A",
        /// Quoted CSV.
        B = "B",
        /// Text that a client can forge: stderr, syslog, general log.
        C = "C",
    }
}

words! {
    /// What kind of thing was done.
    Action {
        /// A log-in, allowed or not.
        Login = "login",
        /// The end of a session.
        Logout = "logout",
        /// Data was read.
        Read = "read",
        /// Data was written.
        Write = "write",
        /// Objects were created, altered or dropped.
        Define = "define",
        /// Roles and privileges were changed.
        Grant = "grant",
        /// A function or procedure was called.
        Call = "call",
        /// A setting was changed.
        Set = "set",
        /// Administration: maintenance, replication, server commands.
        Admin = "admin",
        /// Nothing: a record of the server's log that is no act of anybody.
        Log = "log",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// Whether it worked.
    Outcome {
        /// It did.
        Succeeded = "succeeded",
        /// It ended in an error.
        Failed = "failed",
        /// It was refused: authentication or privileges.
        Denied = "denied",
        /// The source does not tell.
        Unknown = "unknown",
    }
}

words! {
    /// What became of the SQL text on its way here.
    StatementState {
        /// The whole text.
        Full = "full",
        /// Cut by the source.
        Truncated = "truncated",
        /// Parts were masked, by the source or by us.
        Redacted = "redacted",
        /// Only a digest was logged.
        Digest = "digest",
        /// The source logged none.
        Absent = "absent",
    }
}

words! {
    /// How the time of an event is known.
    TimeBasis {
        /// An explicit UTC offset, or UTC itself.
        Offset = "offset",
        /// Seconds since 1970.
        Epoch = "epoch",
        /// A zone abbreviation, resolved through the configured zone.
        Abbreviation = "abbreviation",
        /// No zone was written; the configured one was assumed.
        Assumed = "assumed",
    }
}

words! {
    /// Who is behind an account.
    ActorKind {
        /// A person.
        Human = "human",
        /// An application.
        Service = "service",
        /// A database administrator.
        Dba = "dba",
        /// A scheduled data job.
        Etl = "etl",
        /// A reporting tool.
        Bi = "bi",
        /// An autonomous program.
        Agent = "agent",
        /// Not known.
        Unknown = "unknown",
    }
}

words! {
    /// How the actor is known.
    ActorBasis {
        /// A proxy authenticated the person.
        Proxy = "proxy",
        /// A lease names the person.
        Lease = "lease",
        /// A comment in the SQL names it.
        Comment = "comment",
        /// The application name names it.
        Application = "application",
        /// Only the database account is known.
        Account = "account",
    }
}

words! {
    /// How the client reached the database.
    AccessPath {
        /// Straight to the server.
        Direct = "direct",
        /// Through an access proxy.
        Proxy = "proxy",
    }
}

words! {
    /// What kind of cause signals have: those of one family and identity are one case.
    CauseFamily {
        /// The way in: log-ins, networks, programs, hours.
        Access = "access",
        /// Roles and privileges gained.
        Privilege = "privilege",
        /// The audit or the server's log was weakened.
        Tampering = "tampering",
        /// Something ran on, or was read from, the machine of the database.
        Execution = "execution",
        /// SQL injection and reconnaissance.
        Injection = "injection",
        /// Data was taken out.
        Exfiltration = "exfiltration",
        /// Data was destroyed or changed.
        Impact = "impact",
        /// The identity left what is usual for it and its peers.
        Behaviour = "behaviour",
    }
}

words! {
    /// What happened to a case.
    CaseChange {
        /// Its first signal came.
        Opened = "opened",
        /// A signal graver than all before came.
        Escalated = "escalated",
        /// A cause came that it did not have.
        Extended = "extended",
        /// The server ended a statement of it with an error that was told as perhaps done.
        Amended = "amended",
    }
}
