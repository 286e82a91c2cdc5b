//! The walk over a syntax tree that collects its names.

use std::ops::ControlFlow;

use hashbrown::HashSet;
use sqlparser::ast::{
    Assignment, AssignmentTarget, Expr, FromTable, MergeAction, MergeInsertKind, ObjectName,
    OnConflictAction, OnInsert, Query, Select, SelectItem, SetExpr, Statement, TableFactor,
    TableObject, TableWithJoins, Visitor,
};

use crate::names::Names;

/// Tables of one `DELETE a FROM a JOIN b …` that may be its targets.
const DELETE_TABLES_MAX: usize = 64;

/// Collects names; knows where `WITH` queries hide tables of the same name.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) names: Names,
    scopes: Vec<Scope>,
    /// Nodes that are write targets or table functions, told apart by where they lie in memory:
    /// the tree does not move during the walk.
    targets: HashSet<*const ObjectName>,
    calls: HashSet<*const ObjectName>,
}

struct Scope {
    /// Name and body of each `WITH` query.
    queries: Vec<(String, *const Query)>,
    /// How many of them may be named here: those before, or all if recursive.
    visible: usize,
    recursive: bool,
}

impl Visitor for Walk {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let mut scope = Scope { queries: Vec::new(), visible: 0, recursive: false };
        if let Some(with) = &query.with {
            let named = |cte: &sqlparser::ast::Cte| {
                (cte.alias.name.value.clone(), std::ptr::from_ref(cte.query.as_ref()))
            };
            scope.queries = with.cte_tables.iter().map(named).collect();
            scope.recursive = with.recursive;
            scope.visible = if with.recursive { scope.queries.len() } else { 0 };
        }
        self.scopes.push(scope);
        self.table_queries(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        if let Some(scope) = self.scopes.last_mut() {
            let body = std::ptr::from_ref(query);
            if scope.queries.get(scope.visible).is_some_and(|(_, query)| *query == body) {
                scope.visible += 1;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        self.items(&select.projection);
        if let Some(into) = &select.into {
            into.name.0.last().inspect(|_| self.names.written.insert(joined(&into.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.names.functions.insert(joined(name));
                self.calls.insert(name);
            }
            TableFactor::UNNEST { .. } => self.names.functions.insert("unnest"),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
        let place = std::ptr::from_ref(relation);
        let name = joined(relation);
        if self.targets.contains(&place) {
            self.names.written.insert(name);
        } else if !self.calls.contains(&place) && !self.is_with_query(relation) {
            self.names.read.insert(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        self.statement(statement);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            // `DEFAULT` as a value parses as a name.
            Expr::Identifier(name) if name.quote_style.is_none() && name.value == "default" => {}
            Expr::Identifier(name) => self.names.columns.insert(name.value.as_str()),
            Expr::CompoundIdentifier(parts) => {
                if let Some(last) = parts.last() {
                    self.names.columns.insert(last.value.as_str());
                }
            }
            Expr::Function(function) => self.names.functions.insert(joined(&function.name)),
            Expr::Extract { .. } => self.names.functions.insert("extract"),
            Expr::Substring { .. } => self.names.functions.insert("substring"),
            Expr::Position { .. } => self.names.functions.insert("position"),
            Expr::Trim { .. } => self.names.functions.insert("trim"),
            Expr::Overlay { .. } => self.names.functions.insert("overlay"),
            Expr::Ceil { .. } => self.names.functions.insert("ceil"),
            Expr::Floor { .. } => self.names.functions.insert("floor"),
            Expr::Convert { .. } => self.names.functions.insert("convert"),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Walk {
    fn is_with_query(&self, relation: &ObjectName) -> bool {
        let [part] = relation.0.as_slice() else { return false };
        let Some(name) = part.as_ident() else { return false };
        self.scopes.iter().any(|scope| {
            scope.queries.iter().take(scope.visible).any(|(query, _)| *query == name.value)
        })
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.targets.insert(name);
                }
                insert.columns.iter().for_each(|column| self.column(column));
                self.assignments(&insert.assignments);
                match &insert.on {
                    Some(OnInsert::DuplicateKeyUpdate(list)) => self.assignments(list),
                    Some(OnInsert::OnConflict(conflict)) => {
                        if let OnConflictAction::DoUpdate(update) = &conflict.action {
                            self.assignments(&update.assignments);
                        }
                    }
                    _ => {}
                }
                self.items(insert.returning.as_deref().unwrap_or_default());
            }
            Statement::Update(update) => {
                self.target(&update.table.relation);
                self.assignments(&update.assignments);
                self.items(update.returning.as_deref().unwrap_or_default());
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                let using = delete.using.as_deref().unwrap_or_default();
                if delete.tables.is_empty() {
                    from.iter().for_each(|table| self.delete_from(&table.relation, using));
                }
                delete.tables.iter().for_each(|table| self.delete_target(table, from));
                self.items(delete.returning.as_deref().unwrap_or_default());
            }
            Statement::Merge(merge) => {
                self.target(&merge.table);
                for clause in &merge.clauses {
                    self.merge_action(&clause.action);
                }
            }
            _ => {}
        }
    }

    fn merge_action(&mut self, action: &MergeAction) {
        match action {
            MergeAction::Insert(insert) => {
                insert.columns.iter().for_each(|column| self.column(column));
                if matches!(insert.kind, MergeInsertKind::Row) {
                    self.names.columns.insert("*");
                }
            }
            MergeAction::Update(update) => self.assignments(&update.assignments),
            _ => {}
        }
    }

    fn target(&mut self, factor: &TableFactor) {
        if let TableFactor::Table { name, .. } = factor {
            self.targets.insert(name);
        }
    }

    /// MySQL: `DELETE FROM a USING orders a JOIN b …` names a table or an alias of `USING`; no
    /// other server takes the same name twice.
    fn delete_from(&mut self, factor: &TableFactor, using: &[TableWithJoins]) {
        let TableFactor::Table { name: wanted, alias: None, .. } = factor else {
            return self.target(factor);
        };
        let factors = using.iter().flat_map(|table| {
            std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
        });
        for factor in factors.take(DELETE_TABLES_MAX) {
            let TableFactor::Table { name, alias, .. } = factor else { continue };
            let known_as = alias.as_ref().map_or_else(|| joined(name), |a| a.name.value.clone());
            if known_as == joined(wanted) {
                self.targets.insert(name);
                // It is named again, and is no table of its own.
                self.calls.insert(wanted);
                return;
            }
        }
        self.targets.insert(wanted);
    }

    /// `TABLE t`, which the walk shows as no table.
    fn table_queries(&mut self, body: &SetExpr) {
        let mut bodies = vec![body];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::SetOperation { left, right, .. } => bodies.extend([&**left, &**right]),
                SetExpr::Table(table) => {
                    let name = table.table_name.as_deref().unwrap_or_default();
                    let schema = table.schema_name.as_deref();
                    let name = schema.map_or_else(|| name.to_owned(), |s| format!("{s}.{name}"));
                    self.names.read.insert(name);
                }
                _ => {}
            }
        }
    }

    /// MySQL: `DELETE a FROM orders a JOIN b …` names a table or an alias of `FROM`.
    fn delete_target(&mut self, target: &ObjectName, from: &[TableWithJoins]) {
        let wanted = joined(target);
        // Looked through for each target, hence few.
        let factors = from.iter().flat_map(|table| {
            std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
        });
        for factor in factors.take(DELETE_TABLES_MAX) {
            let TableFactor::Table { name, alias, .. } = factor else { continue };
            let full = joined(name);
            let alias = alias.as_ref().map(|alias| alias.name.value.as_str());
            if alias == Some(&wanted) || full == wanted || full.rsplit('.').next() == Some(&wanted)
            {
                self.targets.insert(name);
                return;
            }
        }
        self.names.written.insert(wanted);
    }

    fn assignments(&mut self, assignments: &[Assignment]) {
        for assignment in assignments {
            match &assignment.target {
                AssignmentTarget::ColumnName(name) => self.column(name),
                AssignmentTarget::Tuple(names) => names.iter().for_each(|name| self.column(name)),
            }
        }
    }

    fn items(&mut self, items: &[SelectItem]) {
        let wildcard = |item: &SelectItem| {
            matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
        };
        if items.iter().any(wildcard) {
            self.names.columns.insert("*");
        }
    }

    fn column(&mut self, name: &ObjectName) {
        if let Some(last) = name.0.last().and_then(|part| part.as_ident()) {
            self.names.columns.insert(last.value.as_str());
        }
    }
}

/// `a.b.c` without quotes.
fn joined(name: &ObjectName) -> String {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
}
