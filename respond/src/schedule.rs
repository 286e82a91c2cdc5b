//! When a delivery is tried again: at once, then ever later for more than three days, then never.
//!
//! Source: Standard Webhooks, "Deliverability and reliability".

use std::time::Duration;

/// Delays after the first, second, … failed attempt, in seconds.
const DELAYS_SECONDS: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600];

/// Attempts of one delivery before it is given up.
pub const ATTEMPTS_MAX: u32 = DELAYS_SECONDS.len() as u32 + 1;

/// The longest that a receiver can ask us to wait.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How long to wait after failed attempt number `attempt`, from 1; none once it is given up.
///
/// Never less than the receiver asked for, within [`RETRY_AFTER_MAX`]. `jitter`, from 0 to 1,
/// lengthens the wait by up to a fifth, so that what failed together is not tried together.
pub fn delay(attempt: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
    let index = usize::try_from(attempt).ok()?.saturating_sub(1);
    let scheduled = Duration::from_secs(*DELAYS_SECONDS.get(index)?);
    let asked = asked.unwrap_or_default().min(RETRY_AFTER_MAX);
    Some(scheduled.max(asked).mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0)))
}

/// Reads a `Retry-After` header, seconds or an HTTP date. `now` is seconds since 1970.
pub fn retry_after(header: &str, now: u64) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds ask for longer than we wait.
        return Some(header.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(Duration::from_secs(now)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grows_and_ends() {
        let delays: Vec<_> = (1..=ATTEMPTS_MAX).map(|attempt| delay(attempt, None, 0.0)).collect();
        assert_eq!(delays[0], Some(Duration::from_secs(5)));
        assert_eq!(delays[8], Some(Duration::from_secs(86_400)));
        assert_eq!(delays[9], None);
        assert!(delays[..9].is_sorted());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 1_445_412_450;
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(3_600)),
            (date, Some(30)),
            ("Fri, 21 Oct 2005 07:28:00 GMT", Some(0)),
            ("", None),
            ("-5", None),
            ("soon", None),
        ];
        for (header, seconds) in cases {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(header, now), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn bounded_whatever_is_asked(attempt: u32, asked: Option<u64>, jitter: f64) {
            let asked = asked.map(Duration::from_secs);
            if let Some(delay) = delay(attempt, asked, jitter) {
                prop_assert!(delay >= asked.unwrap_or_default().min(RETRY_AFTER_MAX));
                prop_assert!(delay.as_secs() <= 86_400 * 6 / 5);
            }
        }

        #[test]
        fn any_header_is_read_or_ignored(header in ".{0,40}", now: u64) {
            let waits = retry_after(&header, now).and_then(|after| delay(1, Some(after), 1.0));
            prop_assert!(waits.is_none_or(|waits| waits <= RETRY_AFTER_MAX.mul_f64(1.2)));
        }
    }
}
