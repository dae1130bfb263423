//! Chooses which stored things are read, where reading all of them takes too long.

use std::fmt;
use std::str::FromStr;

use seawall_backends::Key;

use crate::object::Sha256;
use crate::repository::{Error, Result};

/// A part of the stored things that only reading can prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subset {
    /// Everything.
    #[default]
    All,
    /// One of several slices, counted from 1. A thing's name alone decides its slice, so all slices
    /// together contain each thing once.
    Slice {
        /// The number of the slice.
        number: u32,
        /// How many slices there are.
        of: u32,
    },
    /// A share of the bytes, in hundredths of a percent. Each run chooses other things, by chance.
    Share {
        /// 1 to 10,000.
        basis_points: u32,
    },
    /// So many bytes. Each run chooses other things, by chance.
    Bytes(u64),
}

/// A text that is no subset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSubsetError {
    /// The text has no known form.
    #[error(
        "not a subset: give a slice like 1/7, a share like 5% or 2.5%, or a size like 500M or 2G"
    )]
    Form,
    /// A slice that does not exist.
    #[error("there is no slice {number} of {of}: they are 1/{of} to {of}/{of}")]
    NoSlice {
        /// The slice that was asked for.
        number: u32,
        /// How many slices there are.
        of: u32,
    },
    /// Zero slices.
    #[error("nothing can be cut into 0 slices")]
    NoSlices,
    /// A share of more than 100% or of 0%.
    #[error("a share is more than 0% and at most 100%")]
    Share,
    /// Zero bytes.
    #[error("a size is more than 0")]
    Size,
}

impl FromStr for Subset {
    type Err = ParseSubsetError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseSubsetError> {
        if let Some((number, of)) = text.split_once('/') {
            return slice(digits(number)?, digits(of)?);
        }
        if let Some(share) = text.strip_suffix('%') {
            return parse_share(share);
        }
        let (number, shift) = match text.char_indices().next_back() {
            Some((at, 'K' | 'k')) => (&text[..at], 10),
            Some((at, 'M' | 'm')) => (&text[..at], 20),
            Some((at, 'G' | 'g')) => (&text[..at], 30),
            Some((at, 'T' | 't')) => (&text[..at], 40),
            _ => return Err(ParseSubsetError::Form),
        };
        match u64::from(digits(number)?) << shift {
            0 => Err(ParseSubsetError::Size),
            bytes => Ok(Self::Bytes(bytes)),
        }
    }
}

/// Parses digits only, without a sign.
fn digits(text: &str) -> std::result::Result<u32, ParseSubsetError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.ok_or(ParseSubsetError::Form)
}

fn slice(number: u32, of: u32) -> std::result::Result<Subset, ParseSubsetError> {
    match (number, of) {
        (_, 0) => Err(ParseSubsetError::NoSlices),
        (number, of) if number == 0 || number > of => Err(ParseSubsetError::NoSlice { number, of }),
        (number, of) => Ok(Subset::Slice { number, of }),
    }
}

fn parse_share(text: &str) -> std::result::Result<Subset, ParseSubsetError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 2 {
        return Err(ParseSubsetError::Form);
    }
    let hundredths = digits(fraction)? * if fraction.len() == 1 { 10 } else { 1 };
    let basis_points = digits(whole)?
        .checked_mul(100)
        .and_then(|points| points.checked_add(hundredths))
        .filter(|points| (1..=10_000).contains(points))
        .ok_or(ParseSubsetError::Share)?;
    Ok(Subset::Share { basis_points })
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Slice { number, of } => write!(f, "{number}/{of}"),
            Self::Share { basis_points } => {
                let (whole, rest) = (basis_points / 100, basis_points % 100);
                match (rest, rest % 10) {
                    (0, _) => write!(f, "{whole}%"),
                    (_, 0) => write!(f, "{whole}.{}%", rest / 10),
                    _ => write!(f, "{whole}.{rest:02}%"),
                }
            }
            Self::Bytes(bytes) => {
                let shift =
                    [40, 30, 20, 10].into_iter().find(|shift| bytes.trailing_zeros() >= *shift);
                match shift {
                    Some(shift) => write!(
                        f,
                        "{}{}",
                        bytes >> shift,
                        [' ', 'K', 'M', 'G', 'T'][shift as usize / 10]
                    ),
                    None => write!(f, "{bytes}"),
                }
            }
        }
    }
}

impl serde::Serialize for Subset {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Subset {
    /// Chooses the items to read; `of` gives an item's key and bytes. A choice by chance has at
    /// least one item, and the last item may exceed the wanted bytes.
    pub(super) fn choose<T>(self, items: Vec<T>, of: impl Fn(&T) -> (&Key, u64)) -> Result<Vec<T>> {
        let total: u64 = items.iter().map(|item| of(item).1).sum();
        let wanted = match self {
            Self::All => return Ok(items),
            Self::Slice { number, of: slices } => {
                let is_in = |item: &T| slice_of(of(item).0, slices) == number;
                return Ok(items.into_iter().filter(is_in).collect());
            }
            Self::Share { basis_points } => {
                let share = u128::from(total) * u128::from(basis_points) / 10_000;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
            Self::Bytes(bytes) => bytes,
        };
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| Error::Random(error.to_string()))?;
        let mut drawn: Vec<(Sha256, T)> =
            items.into_iter().map(|item| (lot(&seed, of(&item).0), item)).collect();
        drawn.sort_unstable_by_key(|(lot, _)| *lot);
        let mut bytes = 0;
        let mut chosen: Vec<T> = drawn
            .into_iter()
            .map(|(_, item)| item)
            .enumerate()
            .take_while(|(position, item)| {
                let enough = *position > 0 && bytes >= wanted;
                bytes += of(item).1;
                !enough
            })
            .map(|(_, item)| item)
            .collect();
        chosen.sort_unstable_by(|a, b| of(a).0.cmp(of(b).0));
        Ok(chosen)
    }
}

fn lot(seed: &[u8], key: &Key) -> Sha256 {
    Sha256::of(&[seed, key.as_str().as_bytes()].concat())
}

/// The slice of a thing, counted from 1. Only its name decides.
fn slice_of(key: &Key, of: u32) -> u32 {
    let [a, b, c, d, ..] = *lot(b"", key).as_bytes();
    u32::from_be_bytes([a, b, c, d]) % of + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<Subset, ParseSubsetError> {
        text.parse()
    }

    #[test]
    fn subsets_are_read_and_shown() {
        for text in
            ["1/7", "7/7", "1/1", "5%", "100%", "0.01%", "2.5%", "33.33%", "2G", "500M", "1T", "3K"]
        {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("2.50%"), parse("2.5%"));
        assert_eq!(parse("2.5%"), Ok(Subset::Share { basis_points: 250 }));
    }

    #[test]
    fn what_is_no_subset_is_refused_with_its_reason() {
        assert_eq!(parse("0/7"), Err(ParseSubsetError::NoSlice { number: 0, of: 7 }));
        assert_eq!(parse("8/7"), Err(ParseSubsetError::NoSlice { number: 8, of: 7 }));
        assert_eq!(parse("1/0"), Err(ParseSubsetError::NoSlices));
        for text in ["101%", "100.01%", "0%", "0.00%", "99999999999%"] {
            assert!(
                matches!(parse(text), Err(ParseSubsetError::Share | ParseSubsetError::Form)),
                "{text}"
            );
        }
        assert_eq!(parse("0G"), Err(ParseSubsetError::Size));
        for text in [
            "", "/", "%", "x", "1", "1/2/3", "-1/7", "+1/7", "1.234%", "1.%", ".5%", "G", "1.5G",
            "2Gé", "é",
        ] {
            assert_eq!(parse(text), Err(ParseSubsetError::Form), "{text}");
        }
    }

    fn things() -> Vec<(Key, u64)> {
        (0..500).map(|number| (Key::parse(&format!("data/{number}")).unwrap(), 100)).collect()
    }

    fn chosen(subset: Subset) -> Vec<(Key, u64)> {
        subset.choose(things(), |(key, len)| (key, *len)).unwrap()
    }

    #[test]
    fn all_slices_together_are_everything_once() {
        for of in [1, 2, 7, 600] {
            let mut all: Vec<_> =
                (1..=of).flat_map(|number| chosen(Subset::Slice { number, of })).collect();
            all.sort();
            let mut expected = things();
            expected.sort();
            assert_eq!(all, expected, "{of}");
        }
        let slice = chosen(Subset::Slice { number: 3, of: 7 });
        assert_eq!(slice, chosen(Subset::Slice { number: 3, of: 7 }));
        assert!((30..120).contains(&slice.len()), "{}", slice.len());
    }

    #[test]
    fn shares_and_sizes_are_kept_by_chance() {
        let share = Subset::Share { basis_points: 1000 };
        assert_eq!(chosen(share).len(), 50);
        assert_ne!(chosen(share), chosen(share), "one in 10^69");
        assert_eq!(chosen(Subset::Share { basis_points: 1 }).len(), 1);
        assert_eq!(chosen(Subset::Share { basis_points: 10_000 }).len(), 500);
        assert_eq!(chosen(Subset::Bytes(1001)).len(), 11);
        assert_eq!(chosen(Subset::Bytes(u64::MAX)).len(), 500);
    }
}
