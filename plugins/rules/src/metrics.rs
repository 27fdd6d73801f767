//! What figures of business are made of: who asks for an operating margin is answered by the rows of operating income and
//! sales, which a statement has under those names.
//!
//! Textbook definitions; nothing in them is about one company or document.

use crate::words::Word;

/// Names of a figure, in the singular and lower case, and the rows that it is made of or stands in.
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

/// Names of the three statements in questions, in the singular and lower case, and what they are called in reports.
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

/// What the statements that a question names are called in reports; `None` if it names none.
pub fn statements(words: &[Word]) -> Option<String> {
    named(words, &STATEMENTS)
}

/// The rows that the figures in a question are made of; `None` if it names none.
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

/// A word without the `s` of the plural: enough to tell `gross margins` from `gross margin`.
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
    fn figures_are_told_by_their_rows() {
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
    fn statements_are_told_by_what_reports_call_them() {
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
