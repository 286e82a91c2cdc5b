//! `querywatch token`: who may ask the service.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::Table;
use pipeline::{DataFolder, clock};
use state::{Scope, State, Token as Kept};

use crate::config;
use crate::terminal::{self, printable};

const SECONDS_PER_DAY: i64 = 86_400;

/// Arguments of `token`.
#[derive(Args)]
pub struct Token {
    /// Folder the token is for
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create a token and show it, this once
    Create {
        /// Who or what will hold it
        name: String,
        /// What it is good for: read, write, ingest, admin
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scopes: Vec<Scope>,
        /// Days until it expires; never if not named
        #[arg(long)]
        days: Option<u32>,
    },
    /// List the tokens, without themselves
    List,
    /// Revoke a token by id or name
    Revoke {
        /// Its id or name
        token: String,
    },
}

impl Token {
    /// Works on the data folder; a running service sees it at once.
    #[expect(clippy::print_stdout, reason = "the token is the command's output")]
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(None)?;
        let data = self.data.as_deref().unwrap_or(&config.data);
        let folder = match self.action {
            Action::Create { .. } => DataFolder::open(data)?,
            Action::List | Action::Revoke { .. } => DataFolder::existing(data)?,
        };
        let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime")?;
        runtime.block_on(async {
            let state = State::open(&folder.state()).await?;
            match self.action {
                Action::Create { name, scopes, days } => {
                    let seconds = days.map(|days| i64::from(days) * SECONDS_PER_DAY);
                    let expires = seconds.map(|seconds| clock().plus_seconds(seconds));
                    let new = state.create_token(&name, &scopes, expires, clock()).await?;
                    println!("{}", new.text);
                }
                Action::List => println!("{}", table(&state.tokens().await?)),
                Action::Revoke { token } => {
                    if !state.revoke_token(&token, clock()).await? {
                        bail!("no living token is called `{token}`; `token list` shows them");
                    }
                    println!("revoked");
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn table(tokens: &[Kept]) -> Table {
    let mut table = terminal::table();
    table.set_header(["id", "name", "scopes", "created", "expires", "last used", "revoked"]);
    for token in tokens {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let moment =
            |time: Option<event::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        table.add_row([
            token.id.clone(),
            printable(&token.name),
            scopes.join(","),
            token.created.to_string(),
            moment(token.expires),
            moment(token.last_used),
            moment(token.revoked),
        ]);
    }
    table
}
