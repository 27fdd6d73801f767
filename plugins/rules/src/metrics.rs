//! The components of financial figures: a question about an operating margin is answered by the rows of operating income and sales, since
//! statements have these names.
//!
//! The definitions are from textbooks; none refers to a particular company or document.

use crate::words::Word;

/// The names of a figure, in the singular and in lower case, and the rows that it is computed from or found in.
const METRICS: [(&[&str], &str); 28] = [
    (
        &["capital expenditure", "capex"],
        "capital expenditures, purchases of property, plant and equipment",
    ),
    (
        &["capital intensive", "capital intensity"],
        "property, plant and equipment, total assets, capital expenditures",
    ),
    (
        &["free cash flow", "free cashflow", "fcf"],
        "net cash provided by operating activities, capital expenditures",
    ),
    (
        &["operating margin", "operating profit margin"],
        "operating income, net sales, total revenue",
    ),
    (&["gross margin", "gross profit margin"], "gross profit, cost of sales, net sales"),
    (&["net margin", "net profit margin", "profit margin"], "net income, net sales"),
    (&["ebitda", "ebitda margin"], "operating income, depreciation and amortization"),
    (&["cost of good sold", "cogs"], "cost of goods sold, cost of sales"),
    (&["sg&a"], "selling, general and administrative expenses"),
    (&["topline", "top line", "top-line"], "net sales, revenue"),
    (&["bottomline", "bottom line", "bottom-line"], "net income, net earnings"),
    (&["interest coverage"], "operating income, interest expense"),
    (&["days payable outstanding", "dpo"], "accounts payable, cost of sales, inventories"),
    (&["days sale outstanding", "dso"], "accounts receivable, net sales"),
    (&["days inventory outstanding", "dio"], "inventories, cost of sales"),
    (
        &["cash conversion cycle"],
        "inventories, accounts receivable, accounts payable, cost of sales",
    ),
    (&["inventory turnover"], "inventories, cost of sales"),
    (
        &["asset turnover", "fixed asset turnover"],
        "net sales, total assets, property, plant and equipment",
    ),
    (
        &["working capital", "current ratio"],
        "total current assets, total current liabilities",
    ),
    (
        &["quick ratio", "liquidity", "acid test"],
        "total current assets, inventories, total current liabilities, cash",
    ),
    (&["pp&e", "ppe", "pp&ne", "ppne"], "property, plant and equipment, net"),
    (&["return on asset", "roa"], "net income, total assets"),
    (&["return on equity", "roe"], "net income, total shareholders' equity"),
    (
        &["debt to equity", "debt-to-equity", "leverage"],
        "total debt, long-term debt, total shareholders' equity",
    ),
    (
        &["dividend payout", "payout ratio", "retention ratio"],
        "dividends paid, net income",
    ),
    (&["effective tax rate"], "provision for income taxes, income before income taxes"),
    (&["earning per share", "eps"], "net income per share, basic, diluted"),
    (&["book value"], "total assets, total liabilities, total shareholders' equity"),
];

/// The names of the three statements in questions, in the singular and in lower case, and their names in reports.
const STATEMENTS: [(&[&str], &str); 3] = [
    (
        &[
            "income statement",
            "statement of income",
            "statement of operation",
            "statement of earning",
            "p&l",
            "profit and loss",
        ],
        "consolidated statements of income, statements of operations, statements of earnings",
    ),
    (
        &["balance sheet", "statement of financial position"],
        "consolidated balance sheets, statements of financial position",
    ),
    (
        &["cash flow statement", "cashflow statement", "statement of cash flow"],
        "consolidated statements of cash flows",
    ),
];

/// Returns the names in reports of the statements that a question names; `None` if it names none.
pub fn statements(words: &[Word]) -> Option<String> {
    named(words, &STATEMENTS)
}

/// Returns the rows that the figures in a question are computed from; `None` if it names none.
pub fn rows(words: &[Word]) -> Option<String> {
    named(words, &METRICS)
}

fn named(words: &[Word], table: &[(&[&str], &str)]) -> Option<String> {
    let text: String = words.iter().flat_map(|word| [" ", singular(&word.lower)]).chain([" "]).collect();
    let is_named = |name: &&str| {
        text.match_indices(*name).any(|(at, _)| {
            let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
            before == Some(&b' ') && text.as_bytes().get(at + name.len()) == Some(&b' ')
        })
    };
    let named: Vec<&str> = table
        .iter()
        .filter(|(names, _)| names.iter().any(is_named))
        .map(|(_, rows)| *rows)
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// Returns a word without the plural `s`: enough to match `gross margins` with `gross margin`.
fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(rest) if rest.len() > 3 && !rest.ends_with(['s', 'u', 'i']) => rest,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    #[test]
    fn figures_are_replaced_by_their_rows() {
        for (question, expected) in [
            (
                "Are the gross margins of Acme stable?",
                Some("gross profit, cost of sales, net sales"),
            ),
            ("What is the net PP&E of 2018?", Some("property, plant and equipment, net")),
            (
                "EBITDA and (net) working capital?",
                Some("operating income, depreciation and amortization, total current assets, total current liabilities"),
            ),
            ("Who is liable for epsom salt?", None),
            ("", None),
        ] {
            assert_eq!(rows(&words(question)).as_deref(), expected, "{question}");
        }
    }

    #[test]
    fn statements_are_replaced_by_their_names_in_reports() {
        let all = STATEMENTS.map(|(_, names)| names).join(", ");
        for (question, expected) in [
            (
                "Use the P&L, the balance sheet and the statement of cash flows.",
                Some(all.as_str()),
            ),
            ("By the cash flow statements, what was paid?", Some(STATEMENTS[2].1)),
            ("What is the company's statement on income inequality?", None),
        ] {
            assert_eq!(statements(&words(question)).as_deref(), expected, "{question}");
        }
    }

    #[test]
    fn names_are_as_questions_are_compared() {
        for name in METRICS.iter().chain(&STATEMENTS).flat_map(|(names, _)| *names) {
            let read: Vec<Word> = words(name);
            let text: Vec<&str> = read.iter().map(|word| singular(&word.lower)).collect();
            assert_eq!(text.join(" "), *name);
        }
    }
}
