//! Lists `rules/**/*.yml`, so that a rule is embedded by being a file there.
//!
//! Paths stay relative to the package and texts are copied: with absolute ones, two checkouts that
//! share a target folder would see each other's rules.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const RULES: &str = "../rules";

fn main() -> io::Result<()> {
    let mut files = Vec::new();
    list(Path::new(RULES), &mut files)?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let name = Path::new("rules").join(file.strip_prefix(RULES).unwrap_or(file));
        let text = fs::read_to_string(file)?;
        code += &format!("    ({name:?}, {text:?}),\n");
    }
    code += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("rules.rs"), code)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            println!("cargo:rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    Ok(())
}
