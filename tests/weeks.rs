//! Three weeks of the simulated company, with attacks in the last two.

use std::path::{Path, PathBuf};

use simulate::{Attack, Company, Simulation};

/// 2026-08-03, in microseconds since 1970.
pub const MONDAY: i64 = 1_785_715_200_000_000;

/// The log of a company from a Monday on, with attacks once habits are known.
pub fn write_weeks(folder: &Path, seed: u64, monday: i64) -> PathBuf {
    const DAY: i64 = 86_400_000_000;
    let (mut company, mut log) = (Simulation::new(Company::small(), seed), Vec::new());
    for day in 0..21 {
        company.day(monday + day * DAY, &mut log);
        let attacks = Attack::ALL.iter().cycle().skip(day as usize * 2).take(2);
        for attack in attacks.filter(|_| day >= 9) {
            company.attack(*attack, monday + day * DAY + DAY - 7_200_000_000, &mut log);
        }
    }
    let path = folder.join(format!("weeks-{seed}.csv"));
    std::fs::write(&path, log).expect("written");
    path
}
