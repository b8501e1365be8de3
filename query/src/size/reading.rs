//! How long a text takes to read. What stands in the brackets of a function or of a question within the text is read twice
//! by the parser, once as what it could be and once as what it is, and so is what stands in brackets in there.

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
    let mut open = Vec::new();
    let (mut depth, mut read) = (0_u32, 0_u64);
    while let Some(token) = tokens.next() {
        read = read.saturating_add(1_u64.checked_shl(depth).unwrap_or(u64::MAX));
        match token {
            Token::LParen => {
                let twice = calls(before) || tokens.peek().is_some_and(|next| asks(next));
                open.push(twice);
                depth += u32::from(twice);
            }
            Token::RParen => depth -= u32::from(open.pop().unwrap_or(false)),
            _ => {}
        }
        before = Some(token);
    }
    read
}

/// Whether a bracket behind this is that of a function, or of something that is written as one.
fn calls(before: Option<&Token>) -> bool {
    use Keyword as K;
    let Some(Token::Word(word)) = before else { return false };
    !matches!(
        word.keyword,
        K::AND
            | K::OR
            | K::NOT
            | K::WHERE
            | K::ON
            | K::HAVING
            | K::WHEN
            | K::THEN
            | K::ELSE
            | K::CASE
            | K::BETWEEN
            | K::LIKE
            | K::ILIKE
            | K::IN
            | K::BY
            | K::SELECT
            | K::DISTINCT
            | K::VALUES
    )
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
    fn what_is_read_twice_within_what_is_read_twice_is_soon_too_much() {
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
        ] {
            judged(&nested(head, 5, tail)).unwrap();
            let error = judged(&nested(head, 20, tail)).expect_err(head);
            assert_eq!(error.sqlstate(), "54001");
            judged(&nested(head, 90, tail)).expect_err(head);
        }
        // Beside each other they are read beside each other.
        let beside = vec!["lower(trim(upper(reason)))"; 300].join(" || ");
        judged(&format!("SELECT {beside} FROM decisions")).unwrap();
        judged(&nested("(1 + ", 90, ")")).unwrap();
        judged(&nested("NOT (true AND ", 90, ")")).unwrap();
        judged("SELECT ))))((((").unwrap();
    }
}
