//! The name under which baselines know a table: without the date of a partition, one name for all
//! temporary tables, and temporary names without their number. Facts keep the name as written.

use std::borrow::Cow;

/// `orders_2026_11_27` → `orders_?`, `pg_temp_3.x` → `pg_temp.?`; any other name as it is.
///
/// A date is what ends the name after a `_`: `2026_11`, `202611`, `2026_11_27`, `20261127`, each
/// with or without a `p` before it, or `y2026m11`, `y2026m11d27`; from 1990 to 2099, and a day
/// that the calendar has. A year alone is no date: yearly tables are few.
///
/// `tmp_orders_4711`, `import_temp_8f21` lose what begins with their first digit.
pub fn baseline_name(table: &str) -> Cow<'_, str> {
    if is_temporary(table) {
        return Cow::Borrowed("pg_temp.?");
    }
    match date_at(table).or_else(|| number_at(table)) {
        Some(at) => Cow::Owned(format!("{}?", table.get(..at).unwrap_or_default())),
        None => Cow::Borrowed(table),
    }
}

/// `pg_temp.x`, `pg_temp_12.x`.
fn is_temporary(table: &str) -> bool {
    let Some((schema, _)) = table.split_once('.') else { return false };
    let Some(number) = schema.strip_prefix("pg_temp") else { return false };
    let digits = number.strip_prefix('_');
    number.is_empty()
        || digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
}

/// Where the number of a name begins that calls itself temporary.
fn number_at(table: &str) -> Option<usize> {
    let start = table.rfind('.').map_or(0, |dot| dot + 1);
    let name = table.get(start..)?;
    let digit = name.find(|next: char| next.is_ascii_digit())?;
    let says_so = |part: &str| matches!(part, "tmp" | "temp");
    name.get(..digit)?.split('_').any(says_so).then_some(start + digit)
}

/// Where the date that ends the name begins.
fn date_at(table: &str) -> Option<usize> {
    // A date has at most two `_` in it.
    let places = table.rmatch_indices('_').map(|(at, _)| at + 1).take(3);
    let names = |at: &usize| {
        let name = table.get(..*at - 1).unwrap_or_default();
        let last = name.rsplit('.').next().unwrap_or_default();
        last.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 128)
    };
    places.filter(names).find(|&at| table.get(at..).is_some_and(is_date))
}

fn is_date(text: &str) -> bool {
    if let Some(text) = text.strip_prefix('y') {
        let Some((year, rest)) = text.split_once('m') else { return false };
        let (month, day) = match rest.split_once('d') {
            Some((month, day)) => (month, Some(day)),
            None => (rest, None),
        };
        return is_day(year, month, day);
    }
    let text = text.strip_prefix('p').unwrap_or(text);
    if !text.is_ascii() {
        return false;
    }
    let mut parts = text.split('_');
    match (text.len(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (6, Some(_), None, None, None) => is_day(&text[..4], &text[4..], None),
        (8, Some(_), None, None, None) => is_day(&text[..4], &text[4..6], Some(&text[6..])),
        (_, Some(year), Some(month), day, None) => is_day(year, month, day),
        _ => false,
    }
}

fn is_day(year: &str, month: &str, day: Option<&str>) -> bool {
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| plain)
    };
    let (Some(year), Some(month)) = (number(year, 4), number(month, 2)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return false,
    };
    let day = day.map_or(Some(1), |day| number(day, 2));
    (1990..=2099).contains(&year) && day.is_some_and(|day| (1..=days).contains(&day))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_of_partitions_and_temporary_schemas_are_folded() {
        let cases = [
            ("orders_2026_11_27", "orders_?"),
            ("hr.orders_2026_11", "hr.orders_?"),
            ("events_p20261127", "events_?"),
            ("log_202611", "log_?"),
            ("t_y2026m11", "t_?"),
            ("t_y2026m11d27", "t_?"),
            ("a_2024_02_29", "a_?"),
            ("pg_temp.x", "pg_temp.?"),
            ("tmp_orders_4711", "tmp_orders_?"),
            ("etl.load_temp_8f21", "etl.load_temp_?"),
            ("pg_temp_12.x_202611", "pg_temp.?"),
        ];
        for (table, expected) in cases {
            assert_eq!(baseline_name(table), expected, "{table}");
        }
    }

    #[test]
    fn other_names_stay() {
        let names = [
            "salaries_2026",
            "template_7",
            "attempts_2",
            "salaries",
            "log_202613",
            "log_198912",
            "log_210001",
            "a_2026_02_29",
            "a_20260431",
            "a_2026_1_1",
            "a20261127",
            "_202611",
            "2025_202611",
            "hr_1._202611",
            "t_y2026",
            "t_y26m11",
            "t_py2026m11",
            "t_2026_11_27_x",
            "t_202611_27",
            "t_p",
            "t_",
            "",
            "pg_temperature.x",
            "pg_temp_.x",
            "pg_temp",
            "t_2026١1",
        ];
        for name in names {
            assert_eq!(baseline_name(name), name);
        }
    }

    proptest! {
        #[test]
        fn any_day_folds_and_any_other_number_stays(
            name in "[a-z][a-z_]{0,8}[a-z]", year in 0..10_000_u32, month in 0..100_u32,
            day in 0..100_u32,
        ) {
            let date = (1..=28).contains(&day)
                && (1..=12).contains(&month)
                && (1990..=2099).contains(&year);
            let table = format!("{name}_{year:04}{month:02}{day:02}");
            let folded = baseline_name(&table);
            if date {
                prop_assert_eq!(folded, format!("{name}_?"));
            } else if day > 31 || day == 0 || !(1..=12).contains(&month) || year > 2099 {
                prop_assert_eq!(folded, table.as_str());
            }
        }

        #[test]
        fn folding_twice_is_folding_once(table in "\\PC{0,30}") {
            let once = baseline_name(&table).into_owned();
            prop_assert_eq!(baseline_name(&once), once.as_str());
        }
    }
}
