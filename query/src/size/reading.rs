//! How long a text takes to read. What stands in the brackets of a function or of a question within the text is read more
//! than once by the parser, as what it could be and as what it is, and so is what stands in brackets in there.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::QueryError;

/// Words and signs that may be read, each as often as it is.
const MAX_READ: u64 = 1 << 19;

/// Refuses a text that takes too long to read.
pub(crate) fn must_be_readable(tokens: &[Token]) -> Result<(), QueryError> {
    if read(tokens) <= MAX_READ {
        return Ok(());
    }
    let message = "functions or questions stand too deep within each other in the query; compute the inner ones in WITH first";
    Err(QueryError::Invalid { message: message.to_owned(), sqlstate: "54001" })
}

fn read(tokens: &[Token]) -> u64 {
    let mut tokens =
        tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let mut before = None;
    let (mut open, mut often) = (Vec::new(), 1_u64);
    let mut read = 0_u64;
    while let Some(token) = tokens.next() {
        read = read.saturating_add(often);
        match token {
            Token::LParen => {
                open.push(often);
                let asks = tokens.peek().is_some_and(|next| asks(next));
                often = often.saturating_mul(times(before).max(1 + u64::from(asks)));
            }
            Token::RParen => often = open.pop().unwrap_or(1),
            _ => {}
        }
        before = Some(token);
    }
    read
}

/// How often what is in brackets behind this is read: that of a function twice; that of a word with a meaning of its own as
/// that, and then as a function's.
fn times(before: Option<&Token>) -> u64 {
    use Keyword as K;
    let Some(Token::Word(word)) = before else { return 1 };
    match word.keyword {
        K::AND
        | K::OR
        | K::WHERE
        | K::ON
        | K::HAVING
        | K::WHEN
        | K::THEN
        | K::ELSE
        | K::BETWEEN
        | K::LIKE
        | K::ILIKE
        | K::IN
        | K::BY
        | K::SELECT
        | K::DISTINCT
        | K::FROM
        | K::AS
        | K::VALUES => 1,
        K::POSITION => 5,
        K::ARRAY
        | K::BOX
        | K::CASE
        | K::CAST
        | K::CEIL
        | K::CIRCLE
        | K::CONVERT
        | K::EXISTS
        | K::EXTRACT
        | K::FLOOR
        | K::INTERVAL
        | K::LAMBDA
        | K::LINE
        | K::LSEG
        | K::MAP
        | K::MATCH
        | K::NOT
        | K::OVERLAY
        | K::PATH
        | K::POINT
        | K::POLYGON
        | K::PRIOR
        | K::SAFE_CAST
        | K::STRUCT
        | K::SUBSTR
        | K::SUBSTRING
        | K::TRIM
        | K::TRY_CAST
        | K::TRY_CONVERT => 3,
        _ => 2,
    }
}

/// Whether a question begins with this.
fn asks(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn judged(sql: &str) -> Result<(), QueryError> {
        must_be_readable(&Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap())
    }

    fn nested(head: &str, levels: usize, tail: &str) -> String {
        format!("SELECT {}1{}", head.repeat(levels), tail.repeat(levels))
    }

    #[test]
    fn what_is_read_again_within_what_is_read_again_is_soon_too_much() {
        for (head, tail) in [
            ("lower(", ")"),
            ("pg_catalog.lower (", ")"),
            ("concat('a', ", ")"),
            ("row(", ")"),
            ("(SELECT ", ")"),
            ("EXISTS (SELECT ", ")"),
            ("1 IN (SELECT ", ")"),
            ("(WITH a AS (SELECT ", " AS x) SELECT x FROM a)"),
            ("coalesce(nullif(", ", ''), '')"),
            ("NOT (true AND ", ")"),
            ("CASE (", ") WHEN 1 THEN 1 END"),
            ("floor(", ")"),
            ("position('a' IN ", ")"),
        ] {
            judged(&nested(head, 4, tail)).unwrap();
            let error = judged(&nested(head, 20, tail)).expect_err(head);
            assert_eq!(error.sqlstate(), "54001");
            judged(&nested(head, 90, tail)).expect_err(head);
        }
        // Such as is wrong in its middle, which the parser finds out at every level, in every way.
        judged(&format!("SELECT {}1 1{}", "NOT (".repeat(13), ")".repeat(13))).unwrap_err();
        judged(&format!("SELECT {}1 1{}", "position(".repeat(9), ")".repeat(9))).unwrap_err();
        // Beside each other they are read beside each other.
        let beside = vec!["lower(trim(upper(reason)))"; 300].join(" || ");
        judged(&format!("SELECT {beside} FROM decisions")).unwrap();
        judged(&nested("(1 + ", 90, ")")).unwrap();
        judged("SELECT ))))((((").unwrap();
    }
}
