//! Which pairs of tokens join into a third, and which go first.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Kind, MERGES_BYTES_MAX, VocabularyError};

/// Merges as the file lists them.
pub(super) fn given<'a>(
    merges: &[&'a str],
    ids: &BTreeMap<&str, usize>,
) -> Result<Vec<(&'a str, &'a str)>, VocabularyError> {
    let mut joined = String::new();
    let split = |(index, merge): (usize, &&'a str)| {
        let (left, right) = merge
            .split_once(' ')
            .ok_or(VocabularyError::Merge { index })?;
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        let known =
            ids.contains_key(left) && ids.contains_key(right) && ids.contains_key(joined.as_str());
        if known {
            Ok((left, right))
        } else {
            Err(VocabularyError::Merge { index })
        }
    };
    merges.iter().enumerate().map(split).collect()
}

/// Merges of a vocabulary with scores: every way to put a token together from two others, the highest score first, then the lowest id,
/// then the longest left part.
pub(super) fn from_scores<'a>(
    tokens: &[&'a str],
    kinds: &[Kind],
    scores: &[f32],
    ids: &BTreeMap<&str, usize>,
) -> Result<Vec<(&'a str, &'a str)>, VocabularyError> {
    let joins = |id: usize| matches!(kinds[id], Kind::Normal | Kind::UserDefined);
    let mut order: Vec<usize> = (0..tokens.len()).filter(|id| joins(*id)).collect();
    // Scores are finite, and the two zeros are one score.
    order.sort_by(|a, b| (scores[*b] + 0.0).total_cmp(&(scores[*a] + 0.0)));
    let mut merges = Vec::new();
    let mut bytes = 0;
    for id in order {
        let token = tokens[id];
        let cuts = token.char_indices().skip(1).map(|(at, _)| at);
        let mut cuts: Vec<usize> = cuts.collect();
        cuts.sort_unstable_by_key(|at| Reverse(*at));
        for at in cuts {
            let (left, right) = token.split_at(at);
            let known = |part: &str| ids.get(part).is_some_and(|id| joins(*id));
            if known(left) && known(right) {
                bytes += token.len() + r#"["",""],"#.len();
                if bytes > MERGES_BYTES_MAX {
                    return Err(VocabularyError::MergeBytes {
                        max: MERGES_BYTES_MAX,
                    });
                }
                merges.push((left, right));
            }
        }
    }
    Ok(merges)
}
