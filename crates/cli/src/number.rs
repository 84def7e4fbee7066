//! Parsers of numbers in a range. Their errors name the range and an example.

use std::{fmt::Display, str::FromStr};

use domain::limits::MAX_TARGETS_PER_TASK;

/// Maximum number of desktops that run a task at the same time.
#[expect(clippy::cast_possible_wrap, reason = "a million")]
pub(crate) const MAX_CONCURRENCY: i64 = MAX_TARGETS_PER_TASK as i64;

/// Returns a parser of whole numbers from `min` to `max`.
pub fn number<T>(min: T, max: T, example: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync,
{
    move |text| {
        let parsed = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
        parsed.ok_or_else(|| format!("expected a whole number from {min} to {max}, like {example}"))
    }
}

/// Value of a limit; `None` for `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<i64>);

/// Returns a parser of limits: a number from 1 to `max`, or `unlimited`.
pub(crate) fn limit(max: i64, example: i64) -> impl Fn(&str) -> Result<Limit, String> + Clone + Send + Sync {
    let number = number(1, max, example);
    move |text| match text {
        "unlimited" => Ok(Limit(None)),
        text => number(text).map(|it| Limit(Some(it))).map_err(|error| format!("{error}, or `unlimited`")),
    }
}

/// Value of a guardrail; `None` for `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guardrail<T>(pub(crate) Option<T>);

/// Returns a parser of guardrails: a number from `min` to `max`, or `off`.
pub(crate) fn guardrail(
    min: i64,
    max: i64,
    example: i64,
) -> impl Fn(&str) -> Result<Guardrail<i64>, String> + Clone + Send + Sync {
    let number = number(min, max, example);
    move |text| match text {
        "off" => Ok(Guardrail(None)),
        text => number(text).map(|it| Guardrail(Some(it))).map_err(|error| format!("{error}, or `off`")),
    }
}

/// Parses a percentage with or without its sign, or `off`.
pub(crate) fn percent_or_off(text: &str) -> Result<Guardrail<f64>, String> {
    match text.trim() {
        "off" => Ok(Guardrail(None)),
        number => number
            .trim_end_matches('%')
            .trim_end()
            .parse()
            .map(|percent| Guardrail(Some(percent)))
            .map_err(|_| "expected a percentage like 25 or 12.5%, or `off`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_out_of_range_names_the_range_and_an_example() {
        let days = number::<u16>(1, 3_650, 365);
        assert_eq!((days("1"), days(" 3650 ")), (Ok(1), Ok(3_650)));
        for wrong in ["0", "3651", "-1", "ten", "1.5", "", "99999999999"] {
            let expected = Err("expected a whole number from 1 to 3650, like 365".to_owned());
            assert_eq!(days(wrong), expected, "{wrong}");
        }
    }

    #[test]
    fn limit_is_a_number_or_unlimited() {
        let limit = limit(100, 5);
        assert_eq!((limit("100"), limit("unlimited")), (Ok(Limit(Some(100))), Ok(Limit(None))));
        let refused = Err("expected a whole number from 1 to 100, like 5, or `unlimited`".to_owned());
        assert_eq!((limit("0"), limit("none")), (refused.clone(), refused));
    }
}
