//! `querywatch sql`: one query about the stored events, also while `run` stores more.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use comfy_table::CellAlignment;
use lake::LakeView;
use pipeline::DataFolder;
use query::output::Output;
use query::{Answer, Engine, QuerySettings, SqlQuery};
use state::State;

use crate::config;
use crate::terminal::{self, printable};

/// Rows of any other output: all there are.
const ROWS_MAX: usize = 1 << 40;

/// Rows of a table on the terminal.
const TABLE_ROWS_MAX: usize = 1_000;

/// Columns that stand side by side; rows of more are written one value a line.
const TABLE_COLUMNS_MAX: usize = 12;

/// Arguments of `sql`.
#[derive(Args)]
pub struct Sql {
    /// Folder to ask
    #[arg(long)]
    data: Option<PathBuf>,
    /// How the rows are written
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    output: Shape,
    /// Most rows; all of them if not named
    #[arg(long)]
    limit: Option<usize>,
    /// SQL over the tables `events`, `rejects`, `alerts` and `cases`
    query: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    Table,
    Csv,
    Json,
    Ndjson,
    Arrow,
}

impl Sql {
    /// Answers the query.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(None)?;
        let folder = DataFolder::existing(self.data.as_deref().unwrap_or(&config.data))?;
        let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime")?;
        let output = match self.output {
            Shape::Table => None,
            Shape::Csv => Some(Output::Csv),
            Shape::Json => Some(Output::Json),
            Shape::Ndjson => Some(Output::Ndjson),
            Shape::Arrow => Some(Output::Arrow),
        };
        let rows_max = if output.is_some() { ROWS_MAX } else { TABLE_ROWS_MAX };
        // The caller's own machine and time: only the memory stays bounded.
        let settings = QuerySettings { rows_max, timeout_seconds: 86_400, ..config.query };
        let query = SqlQuery { sql: self.query, limit: self.limit, ..SqlQuery::default() };
        let answer = runtime.block_on(run_query(&folder, settings, &query))?;
        match output {
            Some(output) => {
                let mut out = BufWriter::new(std::io::stdout().lock());
                if std::io::stdout().is_terminal() && output != Output::Arrow {
                    let mut text = Vec::new();
                    output.write(&answer.schema, &answer.batches, &mut text)?;
                    let text = text.split(|byte| *byte == b'\r').collect::<Vec<_>>().concat();
                    out.write_all(printable(&String::from_utf8_lossy(&text)).as_bytes())?;
                } else {
                    output.write(&answer.schema, &answer.batches, &mut out)?;
                }
                if output == Output::Json {
                    out.write_all(b"\n")?;
                }
                out.flush().context("standard output cannot be written")?;
            }
            None => print_table(&answer)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn run_query(
    folder: &DataFolder,
    settings: QuerySettings,
    query: &SqlQuery,
) -> anyhow::Result<Answer> {
    let view = LakeView::read(&folder.lake()).await?;
    let state = State::open(&folder.state()).await?;
    let spill = std::env::temp_dir();
    let engine = Engine::new(settings, &spill, Some(state))?;
    Ok(engine.run(query, view).await?)
}

#[expect(clippy::print_stdout, reason = "the table is the command's output")]
fn print_table(answer: &Answer) -> anyhow::Result<()> {
    if answer.schema.fields().len() > TABLE_COLUMNS_MAX {
        print_records(answer)?;
    } else {
        print_grid(answer)?;
    }
    let (rows, elapsed) = (answer.rows(), answer.elapsed);
    let more = if answer.truncated { ", more were left out" } else { "" };
    let rows = terminal::count(rows as u64, "row");
    println!("{rows}{more} in {:.3} s", elapsed.as_secs_f64());
    Ok(())
}

/// A row as lines of name and value: so many columns side by side cannot be read.
#[expect(clippy::print_stdout, reason = "the rows are the command's output")]
fn print_records(answer: &Answer) -> anyhow::Result<()> {
    let names: Vec<&str> =
        answer.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (number, row) in query::output::cells(&answer.batches)?.iter().enumerate() {
        println!("row {}", number + 1);
        for (name, cell) in names.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
            let indent = format!("\n  {:width$}  ", "");
            println!("  {name:width$}  {}", printable(cell).replace('\n', &indent));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is the command's output")]
fn print_grid(answer: &Answer) -> anyhow::Result<()> {
    let mut table = terminal::table();
    table.set_header(answer.schema.fields().iter().map(|field| field.name()));
    for (column, field) in table.column_iter_mut().zip(answer.schema.fields()) {
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in query::output::cells(&answer.batches)? {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    println!("{table}");
    Ok(())
}
