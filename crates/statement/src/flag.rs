//! What may be remarkable about a statement: a closed set, each with its name in snake case.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! flags {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One remarkable trait of a statement. `name` is the text in the `flags` column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Flag { $($(#[doc = $doc])+ $variant,)+ }

        impl Flag {
            /// All flags, in the order in which they are listed.
            pub const ALL: &'static [Flag] = &[$(Flag::$variant,)+];

            /// The name in rules, columns and JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Flag::$variant => $name,)+ }
            }
        }
    };
}

flags! {
    /// An `UPDATE` or `DELETE` without `WHERE`.
    NoWhere = "no_where",
    /// Rows of a table are read without `WHERE`, `LIMIT` or a mere aggregate.
    UnboundedRead = "unbounded_read",
    /// `UNION` of two queries.
    Union = "union",
    /// `OR` followed by a comparison of two literals, or by `TRUE`; or nothing but such
    /// conditions after `WHERE`. Literals are not told apart, so `WHERE 1 = 0` has it too.
    Tautology = "tautology",
    /// More than one statement in one text.
    Stacked = "stacked",
    /// A function that only waits.
    Sleep = "sleep",
    /// Errors are provoked to carry data out (`extractvalue`, `updatexml`).
    ErrorFunction = "error_function",
    /// Reads or writes files of the database server.
    ServerFile = "server_file",
    /// Reads files of the database server.
    ServerFileRead = "server_file_read",
    /// Writes files of the database server.
    ServerFileWrite = "server_file_write",
    /// `COPY … PROGRAM`: runs a program on the database server.
    Program = "program",
    /// Touches the system catalogue.
    Catalog = "catalog",
    /// Touches the tables that hold password hashes.
    PasswordHash = "password_hash",
    /// Writes tables of the system catalogue.
    CatalogWrite = "catalog_write",
    /// Changes a setting of the audit extension or plug-in.
    AuditSetting = "audit_setting",
    /// `set_config` with a name that is put together.
    ComputedSetting = "computed_setting",
    /// Names a program or a library that the server will run.
    ProgramSetting = "program_setting",
    /// Changes what the server logs.
    LogSetting = "log_setting",
    /// Rotates, purges or skips logs.
    LogRemoval = "log_removal",
    /// Changes how clients authenticate.
    AuthenticationSetting = "authentication_setting",
    /// Drops or uninstalls the audit extension or plug-in.
    DropAuditExtension = "drop_audit_extension",
    /// Gives `SUPERUSER` (or `SUPER`, or all on `*.*`), or membership in a role that has it.
    Superuser = "superuser",
    /// Gives another strong role attribute, or everything on `*.*`.
    RoleAttribute = "role_attribute",
    /// Grants a predefined role that reaches data or host past the table rights.
    PredefinedRole = "predefined_role",
    /// Grants to `PUBLIC`.
    GrantPublic = "grant_public",
    /// `WITH GRANT OPTION` or `WITH ADMIN OPTION`.
    GrantOption = "grant_option",
    /// `GRANT ALL` on a database, a schema or all tables of one.
    BroadGrant = "broad_grant",
    /// Sets the password of an account.
    PasswordChange = "password_change",
    /// Code in a language that escapes the database's sandbox.
    UntrustedLanguage = "untrusted_language",
    /// Installs an extension that reaches host or network.
    DangerousExtension = "dangerous_extension",
    /// Loads machine code (`LANGUAGE C`, `SONAME`).
    NativeFunction = "native_function",
    /// Drops tables, schemas or databases, or what depends on a view, type or extension.
    Drop = "drop",
    /// Everything that it writes is temporary, by its name.
    Temporary = "temporary",
    /// Truncates tables.
    Truncate = "truncate",
    /// Looks like a dump tool (`LOCK … ACCESS SHARE`, `COPY … TO STDOUT`).
    Dump = "dump",
    /// Encrypts in the database.
    Encrypt = "encrypt",
    /// Defines code that runs with its owner's rights.
    SecurityDefiner = "security_definer",
    /// Weakens row level security.
    DisableRowSecurity = "disable_rls",
    /// Opens connections from the database to elsewhere.
    Outbound = "outbound",
    /// Sets up replication or decoding of changes.
    Replication = "replication",
    /// Runs SQL that is put together at run time.
    DynamicSql = "dynamic_sql",
    /// Acts as another role.
    SetRole = "set_role",
    /// Creates a trigger, an event trigger or a rule.
    Trigger = "trigger",
    /// Switches triggers off.
    TriggerDisabled = "trigger_disabled",
    /// Schedules work inside the database.
    Schedule = "schedule",
    /// Ends other sessions.
    Terminate = "terminate",
    /// Names beyond the limit are left out of the facts.
    FactsTruncated = "facts_truncated",
    /// Per text: holds a comment that is neither a hint nor sqlcommenter tags.
    Comment = "comment",
    /// Per text: ends in a line comment, as injected SQL does to cut off the rest.
    CommentTruncation = "comment_truncation",
    /// Per text: MySQL code in a comment (`/*! … */`).
    ExecutableComment = "executable_comment",
    /// Per text: a quote or comment is never closed (cut off, or broken on purpose).
    Unterminated = "unterminated",
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A set of flags, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlagSet(u64);

const _: () = assert!(Flag::ALL.len() <= 64, "a flag set is one word");

impl FlagSet {
    pub(crate) fn insert(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u64;
    }

    pub(crate) fn contains(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u64) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.iter().copied().filter(move |&flag| self.contains(flag))
    }
}
