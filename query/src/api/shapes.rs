//! How the nouns that other crates own look as JSON, for the OpenAPI document. Tests hold each
//! table against what is really answered.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A text or null.
    Optional,
    /// RFC 3339, UTC, microseconds.
    Moment,
    /// A moment or null.
    OptionalMoment,
    Whole,
    Number,
    Texts,
    /// An object of another table.
    One(&'static str),
    /// A list of them.
    Many(&'static str),
}

use Kind::{Many, Moment, Number, One, Optional, OptionalMoment, Text, Texts, Whole};

/// Name, kind and meaning of each field.
type Fields = &'static [(&'static str, Kind, &'static str)];

const ALERT: Fields = &[
    ("id", Text, "32 hex digits"),
    ("case_id", Text, "the case that it is about, 32 hex digits"),
    ("change", Text, "what happened to the case: opened, escalated, extended or amended"),
    ("family", Text, "what kind of cause the case has"),
    ("cause", Text, "what tells this act from others of the rule; empty if nothing does"),
    ("time", Moment, "time of the event that told it"),
    ("first_time", Moment, "time of the first event that counts towards it"),
    ("rule", Text, "id of the rule or baseline"),
    ("title", Text, "what it is, in a few words"),
    ("severity", Text, "low, medium, high or critical"),
    ("detector", Text, "rule, correlation, baseline or risk"),
    ("identity", Optional, "the person if known, else the account"),
    ("instance", Text, "configured name of the server"),
    ("database", Optional, "database"),
    ("user", Optional, "account"),
    ("client", Optional, "client's address or host"),
    ("application", Optional, "application name"),
    ("session", Optional, "session id"),
    ("statement", Optional, "SQL text of that event, at most 2,000 bytes"),
    ("fingerprint", Optional, "fingerprint of that statement, 16 hex digits"),
    ("evidence", Text, "A, B or C: how far the weakest event can be trusted"),
    ("events", Texts, "ids of the newest events, at most 20"),
    ("event_count", Whole, "how many events count towards it"),
    ("explanation", One("Explanation"), ""),
    ("attack", Texts, "MITRE ATT&CK techniques"),
    ("controls", Texts, "controls that it is evidence for"),
    ("risk", Number, "risk points, 0 and up"),
    ("models", Texts, "versions of the models that it was judged with"),
];

const EXPLANATION: Fields = &[
    ("observed", Many("Fact"), "what was seen"),
    ("usual", Many("Fact"), "what is usual"),
    ("maturity", Optional, "how much the baseline knows; null for a rule"),
    ("engineer", Text, "for an engineer: fields, values, thresholds"),
    ("manager", Text, "for a manager: one or two plain sentences"),
    ("counterfactual_engineer", Text, "what would have kept it silent, for an engineer"),
    ("counterfactual_manager", Text, "what would have kept it silent, for a manager"),
];

const FACT: Fields =
    &[("name", Text, "a column name or a measure"), ("value", Text, "its value, as text")];

const CASE: Fields = &[
    ("id", Text, "32 hex digits"),
    ("instance", Text, "configured name of the server"),
    ("identity", Optional, "the person if known, else the account"),
    ("lineage", Text, "the sessions it is about, by client and program; empty for all"),
    ("family", Text, "what kind of cause it has"),
    ("rule", Text, "id of the rule or baseline of its worst signal"),
    ("title", Text, "title of its worst signal"),
    ("severity", Text, "low, medium, high or critical: of its worst signal"),
    ("opened", Moment, "time of its first event"),
    ("updated", Moment, "time of its newest event"),
    ("signals", Whole, "how many signals it has"),
    ("causes", Many("CaseCause"), "its distinct causes, at most 64"),
    ("causes_total", Whole, "how many distinct causes it has"),
    ("evidence", Text, "A, B or C: how far its weakest event can be trusted"),
    ("events", Texts, "ids of its newest events, at most 20"),
    ("explanation", One("Explanation"), ""),
    ("attack", Texts, "MITRE ATT&CK techniques of all its signals"),
    ("controls", Texts, "controls that it is evidence for"),
    ("risk", Number, "risk points, 0 and up"),
    ("models", Texts, "versions of the models that its worst signal was judged with"),
    ("status", Text, "open, acknowledged or closed"),
    ("owner", Optional, "whose it is"),
    ("verdict", Optional, "true, benign or false: what it turned out to be"),
    ("reason", Optional, "how the verdict is known"),
    ("note", Optional, "what else there is to say"),
    ("decided_by", Optional, "name of the token that decided last"),
    ("decided", OptionalMoment, "when that was"),
    ("reopened", OptionalMoment, "when it became graver after it was closed, and was opened again"),
];

const CASE_CAUSE: Fields = &[
    ("rule", Text, "id of the rule or baseline"),
    ("cause", Text, "what tells this act from others of the rule; empty if nothing does"),
    ("severity", Text, "the worst it was"),
    ("signals", Whole, "how many signals had it"),
    ("first", Moment, "time of its first event"),
    ("newest", Moment, "time of its newest event"),
];

const DECISION: Fields = &[
    ("id", Text, "32 hex digits"),
    ("time", Moment, "when it was decided"),
    ("author", Text, "name of the token that decided"),
    ("kind", One("DecisionKind"), ""),
];

const EXCEPTION: Fields = &[
    ("scope", One("Scope"), ""),
    ("reason", Text, "why it is expected"),
    ("expires", OptionalMoment, "from when it no longer holds"),
];

const VERDICT: Fields = &[
    ("case_id", Text, "the case, 32 hex digits"),
    ("rule", Text, "the rule or baseline that is judged"),
    ("causes", Texts, "the causes that are judged"),
    ("identity", Optional, "whom the case is about"),
    ("instance", Text, "server of the case"),
    ("verdict", Text, "true, benign or false"),
    ("reason", Text, "how that is known"),
];

const CHANGE_WINDOW: Fields = &[
    ("scope", One("Scope"), ""),
    ("from", Moment, "when it begins"),
    ("until", Moment, "when it ends"),
    ("reason", Text, "what is changed, and why"),
];

const WITHDRAWAL: Fields = &[("decision", Text, "the decision that no longer holds")];

/// Every field may be left out.
const SCOPE: Fields = &[
    ("instance", Text, "glob: configured name of the server"),
    ("identity", Text, "glob: person or account"),
    ("network", Text, "glob: network or address of the client"),
    ("table", Text, "glob: table read or written"),
    ("rule", Text, "glob: id of a rule or baseline"),
    ("cause", Text, "glob: what tells the act from others of the rule"),
];

/// One of the kinds of decisions, by its name.
const DECISION_KIND: Fields = &[
    ("exception", One("Exception"), ""),
    ("verdict", One("Verdict"), ""),
    ("change_window", One("ChangeWindow"), ""),
    ("withdrawn", One("Withdrawal"), ""),
];

/// Declares a shape: its name in the document, its fields, and the shapes that it refers to.
struct Shape {
    name: &'static str,
    fields: Fields,
    /// Whether every field is always there.
    is_whole: bool,
}

const fn shape(name: &'static str, fields: Fields) -> Shape {
    Shape { name, fields, is_whole: true }
}

const SHAPES: &[Shape] = &[
    shape("Alert", ALERT),
    shape("Explanation", EXPLANATION),
    shape("Fact", FACT),
    shape("Case", CASE),
    shape("CaseCause", CASE_CAUSE),
    shape("Decision", DECISION),
    shape("Exception", EXCEPTION),
    shape("Verdict", VERDICT),
    shape("ChangeWindow", CHANGE_WINDOW),
    shape("Withdrawal", WITHDRAWAL),
    Shape { name: "Scope", fields: SCOPE, is_whole: false },
    Shape { name: "DecisionKind", fields: DECISION_KIND, is_whole: false },
];

impl Shape {
    fn schema(&self) -> RefOr<Schema> {
        let mut object = ObjectBuilder::new();
        for (name, kind, meaning) in self.fields {
            object = object.property(*name, kind.schema(meaning));
            if self.is_whole {
                object = object.required(*name);
            }
        }
        RefOr::T(object.build().into())
    }
}

impl Kind {
    fn schema(self, meaning: &str) -> RefOr<Schema> {
        let plain = |schema_type: SchemaType, format: Option<KnownFormat>| {
            let object = ObjectBuilder::new().schema_type(schema_type);
            let object = object.format(format.map(SchemaFormat::KnownFormat));
            RefOr::T(object.description(Some(meaning)).build().into())
        };
        let list = |items: RefOr<Schema>| {
            let array = ArrayBuilder::new().items(items).description(Some(meaning));
            RefOr::T(Schema::Array(array.build()))
        };
        let optional = || SchemaType::Array(vec![Type::String, Type::Null]);
        match self {
            Text => plain(Type::String.into(), None),
            Optional => plain(optional(), None),
            Moment => plain(Type::String.into(), Some(KnownFormat::DateTime)),
            OptionalMoment => plain(optional(), Some(KnownFormat::DateTime)),
            Whole => plain(Type::Integer.into(), None),
            Number => plain(Type::Number.into(), None),
            Texts => {
                let text = ObjectBuilder::new().schema_type(Type::String).build();
                list(RefOr::T(text.into()))
            }
            One(name) => RefOr::Ref(Ref::from_schema_name(name)),
            Many(name) => list(RefOr::Ref(Ref::from_schema_name(name))),
        }
    }
}

/// Every shape, by its name: whoever uses one brings all, for they refer to each other.
fn all(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.extend(SHAPES.iter().map(|shape| (shape.name.to_owned(), shape.schema())));
}

fn schema_of(name: &str) -> RefOr<Schema> {
    let found = SHAPES.iter().find(|shape| shape.name == name);
    found.map_or_else(|| RefOr::Ref(Ref::from_schema_name(name)), Shape::schema)
}

/// Stands for a shape in a `#[schema(value_type = …)]`.
macro_rules! stand_in {
    ($($(#[$doc:meta])* $type:ident = $name:literal;)+) => {$(
        $(#[$doc])*
        pub(super) struct $type;

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                schema_of($name)
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                all(schemas);
            }
        }
    )+};
}

stand_in! {
    /// An event of a case.
    AlertShape = "Alert";
    /// A case with what people decided about it.
    CaseShape = "Case";
    /// A decision.
    DecisionShape = "Decision";
    /// Which signals a decision means.
    ScopeShape = "Scope";
}
