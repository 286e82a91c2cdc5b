//! Any order of writes, rotations, copies, removals and restarts gives every byte once.

use proptest::prelude::*;

use super::rig::Rig;

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    AppendIncomplete,
    Read,
    Wait,
    Rename,
    /// Copies and truncates; what is written in between is given time or not, as the tool does.
    CopyTruncate,
    /// Compresses the n-th rotated file; the source may look while both are there.
    Compress {
        which: usize,
        zstd: bool,
        look: bool,
    },
    RemoveRotated(usize),
    RemoveCurrent,
    /// Restarts from positions at this many quarters of what was read.
    Restart(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..60_usize).prop_map(Step::Append),
        1 => Just(Step::AppendIncomplete),
        4 => Just(Step::Read),
        2 => Just(Step::Wait),
        3 => Just(Step::Rename),
        2 => Just(Step::CopyTruncate),
        2 => (0..8_usize, any::<bool>(), any::<bool>())
            .prop_map(|(which, zstd, look)| Step::Compress { which, zstd, look }),
        1 => (0..8_usize).prop_map(Step::RemoveRotated),
        1 => Just(Step::RemoveCurrent),
        3 => (0..=4_u64).prop_map(Step::Restart),
    ]
}

/// The side that writes, and what it wrote.
struct Writer {
    rig: Rig,
    /// Every content begins with the same line.
    header: bool,
    current: String,
    complete: Vec<String>,
    rotated: Vec<String>,
    lines: usize,
    rotations: usize,
}

impl Writer {
    fn append(&mut self, count: usize) {
        let mut text = String::new();
        if self.current.is_empty() && self.header {
            text.push_str("header\n");
        }
        for _ in 0..count {
            self.lines += 1;
            text += &format!("line {:06} of all that is written\n", self.lines);
        }
        self.write(&text);
    }

    fn write(&mut self, text: &str) {
        self.rig.append("x.log", text.as_bytes());
        self.current += text;
    }

    fn rotated_name(&mut self) -> String {
        self.rotations += 1;
        self.rotated.push(format!("x.log-2026{:04}", self.rotations));
        self.complete.push(std::mem::take(&mut self.current));
        self.rotated[self.rotated.len() - 1].clone()
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Append(count) => self.append(count),
            Step::AppendIncomplete if !self.current.is_empty() => self.write("no newline yet "),
            Step::Read => self.rig.read(),
            Step::Wait => self.rig.later(3),
            Step::Rename if !self.current.is_empty() => {
                let name = self.rotated_name();
                self.rig.rename("x.log", &name);
            }
            Step::CopyTruncate if !self.current.is_empty() => {
                let name = self.rotated_name();
                self.rig.copy("x.log", &name);
                self.rig.truncate("x.log");
                self.rig.read();
            }
            Step::Compress { which, zstd, look } => self.compress(which, zstd, look),
            Step::RemoveRotated(which) if which < self.rotated.len() => {
                self.rig.read();
                let name = self.rotated.remove(which);
                self.rig.remove(&name);
            }
            Step::RemoveCurrent if !self.current.is_empty() => {
                self.rig.read(); // from now on it is open
                self.append(3);
                self.complete.push(std::mem::take(&mut self.current));
                self.rig.remove("x.log");
                self.rig.read();
            }
            Step::Restart(quarters) => {
                let positions = self.rig.positions(|read| read * quarters / 4);
                self.rig.restart(&positions);
            }
            _ => {}
        }
    }

    fn compress(&mut self, which: usize, zstd: bool, look: bool) {
        let Some(name) = self.rotated.get_mut(which).filter(|name| !name.ends_with(['z', 't']))
        else {
            return;
        };
        let plain = std::mem::replace(name, format!("{name}.{}", if zstd { "zst" } else { "gz" }));
        if zstd {
            self.rig.zstd(&plain, name);
        } else {
            self.rig.gzip(&plain, name);
        }
        if look {
            self.rig.read();
        }
        self.rig.remove(&plain);
    }

    /// What has to have come out: all contents, less those that are only the start of another.
    fn expected(&self) -> Vec<String> {
        let mut all: Vec<String> = self.complete.clone();
        all.push(self.current.clone());
        all.sort();
        let is_start = |text: &String| {
            text.is_empty() || all.iter().any(|other| other != text && other.starts_with(text))
        };
        let mut expected: Vec<String> = all.iter().filter(|t| !is_start(t)).cloned().collect();
        expected.dedup();
        expected
    }
}

fn check(pattern: &str, header: bool, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut writer = Writer {
        rig: Rig::new(&[pattern]),
        header,
        current: String::new(),
        complete: Vec::new(),
        rotated: Vec::new(),
        lines: 0,
        rotations: 0,
    };
    for step in steps {
        // What is not configured is only found if it was known before it got that name.
        let leaves = matches!(step, Step::Rename | Step::CopyTruncate);
        if leaves && !pattern.ends_with('*') {
            writer.rig.read();
        }
        writer.apply(step);
    }
    for _ in 0..4 {
        writer.rig.later(6);
    }
    let expected = writer.expected();
    prop_assert_eq!(writer.rig.contents(), expected, "notices: {:#?}", writer.rig.notices);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_byte_comes_once_where_rotated_files_are_configured(
        header in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        check("x.log*", header, &steps)?;
    }

    #[test]
    fn every_byte_comes_once_where_only_the_current_file_is_configured(
        header in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        check("x.log", header, &steps)?;
    }
}
