//! Plots as inline SVG. They know numbers and labels, nothing of evaluations; labels are escaped here.

use std::fmt::Write;

/// Colours of the runs, in order; they differ for most colour-blind people as well (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];

/// The colour of a run.
pub fn colour(run: usize) -> &'static str {
    COLOURS.get(run % COLOURS.len()).copied().unwrap_or("#000000")
}

/// Text as HTML and SVG show it, whatever it holds.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML, or able to turn around what follows.
            c if (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') => {
                out.push('\u{FFFD}')
            }
            c => out.push(c),
        }
    }
    out
}

/// A line with its points: each x and y in [0,1].
pub struct Line {
    /// Its colour is that of this run.
    pub run: usize,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// Radii of the points, in pixels; 0 draws none.
    pub radius: Vec<f64>,
}

/// Lines over a frame whose sides are 0 to 1; `ticks` label the horizontal axis.
pub fn lines(title: &str, ticks: &[(f64, String)], lines: &[Line], diagonal: bool) -> String {
    const WIDTH: f64 = 360.0;
    const HEIGHT: f64 = 220.0;
    let x = |value: f64| 40.0 + value.clamp(0.0, 1.0) * WIDTH;
    let y = |value: f64| 10.0 + (1.0 - value.clamp(0.0, 1.0)) * HEIGHT;
    let mut out = open(title, WIDTH + 60.0, HEIGHT + 40.0);
    for step in 0..=5 {
        let value = f64::from(step) / 5.0;
        let at = y(value);
        let _ = write!(
            out,
            r#"<line class="grid" x1="40" x2="{}" y1="{at:.1}" y2="{at:.1}"/>"#,
            40.0 + WIDTH
        );
        let _ = write!(out, r#"<text x="34" y="{:.1}" text-anchor="end">{value:.1}</text>"#, at + 4.0);
    }
    for (value, label) in ticks {
        let _ = write!(
            out,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            x(*value),
            HEIGHT + 28.0,
            escaped(label)
        );
    }
    if diagonal {
        let _ = write!(
            out,
            r#"<line class="grid dashed" x1="{}" y1="{}" x2="{}" y2="{}"/>"#,
            x(0.0),
            y(0.0),
            x(1.0),
            y(1.0)
        );
    }
    for line in lines {
        let colour = colour(line.run);
        let path: Vec<String> = line.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let _ = write!(
            out,
            r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{}"/>"#,
            path.join(" ")
        );
        for ((a, b), radius) in line.points.iter().zip(&line.radius).filter(|(_, radius)| **radius > 0.0) {
            let _ = write!(
                out,
                r#"<circle cx="{:.1}" cy="{:.1}" r="{radius:.1}" fill="{colour}"/>"#,
                x(*a),
                y(*b)
            );
        }
    }
    out.push_str("</svg>");
    out
}

/// A row of means with their intervals.
pub struct Bars {
    /// What it shows.
    pub name: String,
    /// For each run that has it: low end, mean, high end.
    pub bars: Vec<(usize, [f64; 3])>,
}

/// Means with their intervals.
pub fn intervals(title: &str, rows: &[Bars]) -> String {
    const WIDTH: f64 = 420.0;
    const BAR: f64 = 11.0;
    let x = |value: f64| 130.0 + value.clamp(0.0, 1.0) * WIDTH;
    let height: f64 = rows.iter().map(|row| row.bars.len().max(1) as f64 * BAR + 10.0).sum::<f64>() + 30.0;
    let mut out = open(title, WIDTH + 150.0, height);
    for step in 0..=5 {
        let value = f64::from(step) / 5.0;
        let at = x(value);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="5" y2="{:.1}"/>"#,
            height - 22.0
        );
        let _ = write!(
            out,
            r#"<text x="{at:.1}" y="{:.1}" text-anchor="middle">{value:.1}</text>"#,
            height - 6.0
        );
    }
    let mut y = 10.0;
    for Bars { name, bars } in rows {
        let tall = bars.len().max(1) as f64 * BAR;
        let _ = write!(
            out,
            r#"<text x="122" y="{:.1}" text-anchor="end">{}</text>"#,
            y + tall / 2.0 + 4.0,
            escaped(name)
        );
        for (n, (run, [low, mean, high])) in bars.iter().enumerate() {
            let at = y + (n as f64 + 0.5) * BAR;
            let colour = colour(*run);
            let _ = write!(
                out,
                r#"<line x1="{:.1}" x2="{:.1}" y1="{at:.1}" y2="{at:.1}" stroke="{colour}" stroke-width="2"/>"#,
                x(*low),
                x(*high)
            );
            let _ = write!(out, r#"<circle cx="{:.1}" cy="{at:.1}" r="4" fill="{colour}"/>"#, x(*mean));
        }
        y += tall + 10.0;
    }
    out.push_str("</svg>");
    out
}

fn open(title: &str, width: f64, height: f64) -> String {
    let title = escaped(title);
    format!(r#"<svg role="img" aria-label="{title}" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}"><title>{title}</title>"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_leave_their_place() {
        let hostile = "</text><script>alert('x')</script>\u{202e}\u{0}\"";
        let plot = lines(hostile, &[(0.5, hostile.to_owned())], &[], true);
        let bars = Bars {
            name: hostile.to_owned(),
            bars: vec![(0, [0.0, 0.5, 2.0])],
        };
        let other = intervals(hostile, &[bars]);
        for svg in [plot, other] {
            assert!(
                !svg.contains("<script") && !svg.contains('\u{202e}') && !svg.contains('\u{0}'),
                "{svg}"
            );
            assert!(svg.ends_with("</svg>"));
        }
    }

    #[test]
    fn values_stand_where_they_belong() {
        let line = Line {
            run: 1,
            points: vec![(0.0, 0.0), (1.0, 1.0)],
            radius: vec![0.0, 3.0],
        };
        let svg = lines("hits", &[], &[line], false);
        assert!(
            svg.contains(r#"points="40.0,230.0 400.0,10.0""#) && svg.contains(colour(1)),
            "{svg}"
        );
        assert_eq!(svg.matches("<circle").count(), 1);
    }
}
