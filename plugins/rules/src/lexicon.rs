//! The word lists, in lower case unless stated otherwise. They do not refer to any particular company, document or collection.

/// Returns whether `list`, words separated by spaces, contains `word`.
pub fn holds(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|other| other == word)
}

/// Stop words, including words that questions consist of.
pub const STOP: &str = "a about according after all also am an and any are as assume at based be been before being between both but by calculate can \
    compare compared consider could define describe detail did difference discuss do does each either explain false find for from get give given had has have having he her here \
    him his how however i identify if in information into is it its just kindly know like list look made main make may me mention might more most much must my \
    of on one only or other our out over please provide question quick regarding said same say shall she should show since so some state such \
    summarise summarize tell than that the their them then there these they this those through to true under until up us use used using verify versus very vs was we were what \
    when where whether which while who whom whose why will with within would yes you your";

/// Words that start with a capital but are not names. Months and days have rules of their own.
pub const COMMON: &str = "ai analyze answer api appendix article assume balance brand briefly calculate capex capital cash ceo cfo chapter chart clause cogs company confirm coo csv cto d&a \
    document ebit ebitda eps esg eur evaluate exhibit fifo figure form fy gaap gbp gdpr hr html i ifrs income item it json kpi kpis lifo m&a md&a monday tuesday wednesday thursday friday saturday sunday \
    non-gaap note opex p&l page part pdf pp&e ppe q1 q2 q3 q4 quarter r&d report revenue revenues roa roe roi round saas section sg&a sla sql statement step table \
    uk us usa usd vat yoy i'm i'd let now yes no ok";

/// Last words of names of organisations.
pub const ORGANIZATION: &str = "inc incorporated corp corporation co company companies ltd limited llc llp lp plc gmbh ag se sa s.a nv n.v bv b.v spa s.p.a oy ab as kg \
    group holding holdings partners bank bancorp university college institute institution foundation association agency ministry department commission committee council \
    authority bureau board airlines airways motors pharmaceuticals technologies laboratories labs systems industries insurance energy capital ventures trust fund union";

/// What parts of organisations are called.
pub const UNIT: &str = "department departments division office team unit bureau branch committee subsidiary";

/// Words of names that `of` may follow.
pub const BEFORE_OF: &str = "bank university department ministry board house institute bureau court church college school museum journal society office federation republic kingdom";

/// Titles before names of people.
pub const TITLES: &str = "mr mrs ms miss dr prof professor sir lady lord dame president chairman chairwoman chairperson senator governor minister judge justice herr frau monsieur madame se\u{f1}or se\u{f1}ora ceo cfo coo cto";

/// First names that are common in several countries.
pub const FIRST_NAMES: &str = "adam alan albert alex alexander alice amy andrea andrew angela ann anna anne anthony antonio barbara benjamin bill bob brian carl carlos carol caroline charles \
    chris christian christine christopher claire daniel david deborah dennis diana donald donna douglas edward elena elizabeth ellen emily emma eric eva francis frank fred gary george greg \
    hannah hans heather helen henry ivan jack jacob james jane janet jason jean jeff jeffrey jennifer jessica jim joan joe johann john jonathan jos\u{e9} jose joseph juan judith julia julie karen karl \
    kate katherine keith kelly kenneth kevin larry laura lawrence linda lisa louis lucy luis luke marco margaret maria marie mark martha martin mary matthew max michael michelle mike nancy nicholas \
    nicole olga oliver oscar pamela patricia patrick paul pedro peter philip pierre rachel ralph raymond rebecca richard robert roger ronald rosa roy ruth ryan samantha samuel sandra sara sarah scott \
    sergei sharon simon sophia sophie stefan stephen steve steven susan teresa thomas tim timothy tom tony ursula victor victoria vincent walter wei wendy william yuki";

/// Places, words of several joined by `_`.
pub const PLACES: &str = "africa america antarctica argentina asia australia austria bangladesh belgium berlin brazil brussels bulgaria california canada chicago chile china colombia croatia cuba cyprus czechia \
    delaware denmark egypt england estonia europe finland florida france germany greece hungary iceland india indonesia iran iraq ireland israel italy japan kenya korea kuwait latvia lithuania london \
    luxembourg malaysia malta mexico morocco netherlands new_york new_zealand nigeria norway pakistan paris peru philippines poland portugal qatar romania russia saudi_arabia scotland singapore slovakia \
    slovenia south_africa south_korea spain sweden switzerland taiwan texas thailand tokyo turkey uganda ukraine united_kingdom united_states uruguay venezuela vietnam wales washington north_america \
    latin_america south_america middle_east hong_kong deutschland frankreich \u{f6}sterreich schweiz espa\u{f1}a italia";

/// Months, full and short, in several languages.
pub const MONTHS: &str = "january february march april may june july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec \
    januar februar m\u{e4}rz mai juni juli oktober dezember janvier f\u{e9}vrier mars avril juin juillet ao\u{fb}t septembre octobre novembre d\u{e9}cembre \
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre";

/// Words for large numbers.
pub const SCALES: &str =
    "hundred thousand million millions billion billions trillion m mm mn mio mrd b bn tn k millionen milliarden millones";

/// Words for money after a number.
pub const CURRENCIES: &str = "dollar dollars usd eur euro euros gbp pound pounds sterling chf franc francs yen jpy yuan rmb cny inr rupee rupees cad aud cent cents sek nok dkk krw won brl real reais";

/// Bodies whose documents have numbers.
pub const STANDARDS: &str =
    "iso iec iso/iec ieee rfc din en ansi nist astm ifrs ias asc asu sfas pep cve cwe fips itu iso/iec/ieee bs iatf sox soc";

/// Abbreviations and what they stand for.
pub const ABBREVIATIONS: [(&str, &str); 46] = [
    ("capex", "capital expenditures"),
    ("opex", "operating expenses"),
    ("cogs", "cost of goods sold"),
    ("sg&a", "selling, general and administrative expenses"),
    ("r&d", "research and development"),
    ("ebitda", "earnings before interest, taxes, depreciation and amortization"),
    ("ebit", "earnings before interest and taxes"),
    ("eps", "earnings per share"),
    ("fcf", "free cash flow"),
    ("roa", "return on assets"),
    ("roe", "return on equity"),
    ("roi", "return on investment"),
    ("roic", "return on invested capital"),
    ("pp&e", "property, plant and equipment"),
    ("ppe", "property, plant and equipment"),
    ("pp&ne", "property, plant and equipment, net"),
    ("ppne", "property, plant and equipment, net"),
    ("d&a", "depreciation and amortization"),
    ("dpo", "days payable outstanding"),
    ("dso", "days sales outstanding"),
    ("dio", "days inventory outstanding"),
    ("wacc", "weighted average cost of capital"),
    ("cagr", "compound annual growth rate"),
    ("yoy", "year over year"),
    ("qoq", "quarter over quarter"),
    ("ytd", "year to date"),
    ("m&a", "mergers and acquisitions"),
    ("p&l", "profit and loss statement"),
    ("md&a", "management's discussion and analysis"),
    ("nol", "net operating loss"),
    ("esg", "environmental, social and governance"),
    ("fx", "foreign exchange"),
    ("vat", "value added tax"),
    ("gdp", "gross domestic product"),
    ("ceo", "chief executive officer"),
    ("cfo", "chief financial officer"),
    ("coo", "chief operating officer"),
    ("cto", "chief technology officer"),
    ("kpi", "key performance indicator"),
    ("kpis", "key performance indicators"),
    ("sla", "service level agreement"),
    ("nda", "non-disclosure agreement"),
    ("gdpr", "General Data Protection Regulation"),
    ("2fa", "two-factor authentication"),
    ("mfa", "multi-factor authentication"),
    ("sso", "single sign-on"),
];
