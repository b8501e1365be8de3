//! What differs between two texts, line by line.

/// The most comparisons of lines; of texts beyond that all lines in the middle count as different.
const MAX_COMPARISONS: usize = 4_000_000;

/// A line of either text, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// As few lines that differ as there can be, the old ones before the new.
pub(super) fn diff<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let shorter = old.len().min(new.len());
    let head = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let ends = old.iter().rev().zip(new.iter().rev()).take(shorter - head);
    let tail = ends.take_while(|(one, other)| one == other).count();
    let part = |all: &[&'a str]| all.get(head..all.len() - tail).unwrap_or_default().to_vec();
    let same = |lines: Option<&[&'a str]>| {
        lines.unwrap_or_default().iter().copied().map(Line::Same).collect::<Vec<_>>()
    };
    let mut lines = same(old.get(..head));
    lines.extend(middle(&part(&old), &part(&new)));
    lines.extend(same(old.get(old.len() - tail..)));
    lines
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let width = new.len() + 1;
    if old.len().saturating_mul(width) > MAX_COMPARISONS {
        let (old, new) = (old.iter().copied().map(Line::Old), new.iter().copied().map(Line::New));
        return old.chain(new).collect();
    }
    // How many lines both have from here to the end, by where each begins.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    let at =
        |common: &[u32], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or_default();
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            let longest = if one == other {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(place) = common.get_mut(i * width + j) {
                *place = longest;
            }
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(one), Some(other)) if one == other => {
                lines.push(Line::Same(one));
                (i, j) = (i + 1, j + 1);
            }
            (Some(one), other)
                if other.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) =>
            {
                lines.push(Line::Old(one));
                i += 1;
            }
            (_, Some(other)) => {
                lines.push(Line::New(other));
                j += 1;
            }
            (_, None) => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let mark = |line: &Line<'_>| match line {
            Line::Same(line) => format!(" {line}"),
            Line::Old(line) => format!("-{line}"),
            Line::New(line) => format!("+{line}"),
        };
        diff(old, new).iter().map(mark).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn lines_that_both_have_stand_once() {
        assert_eq!(shown("", ""), "");
        assert_eq!(shown("a\nb\nc", "a\nb\nc"), " a| b| c");
        assert_eq!(shown("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
        assert_eq!(shown("a\na", "a\na\na"), " a| a|+a");
        assert_eq!(shown("a\nb\nc\nd", "b\nx\nd\ne"), "-a| b|-c|+x| d|+e");
        assert_eq!(shown("a", ""), "-a");
    }

    /// Whatever it finds, each text can be read out of it, in order.
    #[test]
    fn nothing_is_left_out() {
        let texts = ["", "a", "a\nb\na\nc", "c\na\nb\nb", "b\nc\na", "x\ny"];
        let many: String = (0..2_100).map(|it| format!("{it}\n")).collect();
        let other: String = (0..2_100).map(|it| format!("{}\n", it * 7 % 2_100 + 1)).collect();
        for old in texts.into_iter().chain([many.as_str()]) {
            for new in texts.into_iter().chain([other.as_str()]) {
                let lines = diff(old, new);
                let of = |is_new: bool| {
                    let kept = lines.iter().filter_map(move |line| match line {
                        Line::Same(line) => Some(*line),
                        Line::Old(line) => (!is_new).then_some(*line),
                        Line::New(line) => is_new.then_some(*line),
                    });
                    kept.collect::<Vec<_>>()
                };
                assert_eq!(of(false), old.lines().collect::<Vec<_>>());
                assert_eq!(of(true), new.lines().collect::<Vec<_>>());
            }
        }
    }
}
