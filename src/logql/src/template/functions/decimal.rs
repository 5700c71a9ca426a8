//! How much is 0.1 + 0.2, as people calculate? Decimal numbers, as far as 128 bits hold them, and floats beyond.

/// Decimal places of a quotient.
const QUOTIENT_PLACES: i32 = 16;
const BY_ZERO: &str = "decimal division by 0";

/// `digits` times ten to the power of `exponent`; or a float, for what does not fit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decimal {
    Exact { digits: i128, exponent: i32 },
    Float(f64),
}

impl Decimal {
    /// The decimal number that a float prints as.
    pub(super) fn of(value: f64) -> Result<Self, String> {
        if !value.is_finite() {
            return Err(format!("Cannot create a Decimal from {value}"));
        }
        let text = format!("{value:e}");
        let read = || {
            let (mantissa, exponent) = text.split_once('e')?;
            let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            let digits = format!("{whole}{fraction}").parse().ok()?;
            let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
            Some(Self::Exact { digits, exponent })
        };
        Ok(read().unwrap_or(Self::Float(value)))
    }

    pub(super) fn float(self) -> f64 {
        match self {
            // Reading the digits rounds once, where calculating would round twice.
            Self::Exact { digits, exponent } => format!("{digits}e{exponent}").parse().unwrap_or(0.0),
            Self::Float(value) => value,
        }
    }

    pub(super) fn add(self, other: Self) -> Result<Self, String> {
        let sum = aligned(self, other).and_then(|(a, b, exponent)| Some((a.checked_add(b)?, exponent)));
        Ok(exact(sum).unwrap_or_else(|| Self::Float(self.float() + other.float())))
    }

    pub(super) fn sub(self, other: Self) -> Result<Self, String> {
        let difference =
            aligned(self, other).and_then(|(a, b, exponent)| Some((a.checked_sub(b)?, exponent)));
        Ok(exact(difference).unwrap_or_else(|| Self::Float(self.float() - other.float())))
    }

    pub(super) fn mul(self, other: Self) -> Result<Self, String> {
        let product = match (self, other) {
            (Self::Exact { digits: a, exponent: m }, Self::Exact { digits: b, exponent: n }) => {
                a.checked_mul(b).and_then(|digits| Some((digits, m.checked_add(n)?)))
            }
            _ => None,
        };
        Ok(exact(product).unwrap_or_else(|| Self::Float(self.float() * other.float())))
    }

    /// Rounded to sixteen places, half away from zero.
    pub(super) fn div(self, other: Self) -> Result<Self, String> {
        if other.float() == 0.0 {
            return Err(BY_ZERO.to_owned());
        }
        let quotient = match (self, other) {
            (Self::Exact { digits: a, exponent: m }, Self::Exact { digits: b, exponent: n }) => {
                quotient(a, b, m - n)
            }
            _ => None,
        };
        Ok(exact(quotient).unwrap_or_else(|| Self::Float(self.float() / other.float())))
    }
}

fn exact(value: Option<(i128, i32)>) -> Option<Decimal> {
    value.map(|(digits, exponent)| Decimal::Exact { digits, exponent })
}

/// `a / b * 10^exponent`
fn quotient(a: i128, b: i128, exponent: i32) -> Option<(i128, i32)> {
    let shift = exponent.checked_add(QUOTIENT_PLACES)?;
    let (a, b) =
        if shift >= 0 { (a.checked_mul(power(shift)?)?, b) } else { (a, b.checked_mul(power(-shift)?)?) };
    let (whole, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let rounds_up = rest.unsigned_abs().checked_mul(2)? >= b.unsigned_abs();
    let sign = if (a < 0) == (b < 0) { 1 } else { -1 };
    Some((if rounds_up { whole.checked_add(sign)? } else { whole }, -QUOTIENT_PLACES))
}

/// The digits of both, of the same exponent.
fn aligned(a: Decimal, b: Decimal) -> Option<(i128, i128, i32)> {
    let (Decimal::Exact { digits: a, exponent: m }, Decimal::Exact { digits: b, exponent: n }) = (a, b)
    else {
        return None;
    };
    let exponent = m.min(n);
    Some((a.checked_mul(power(m - exponent)?)?, b.checked_mul(power(n - exponent)?)?, exponent))
}

fn power(exponent: i32) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}
