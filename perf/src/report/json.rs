//! How raw figures are kept: every turn of every round, a line each, so that trends can be drawn over commits.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Report;

/// Values that are nested deeper than this stand on one line.
const DEEPEST: usize = 8;

/// The whole report, with every turn.
///
/// # Errors
/// A figure is no number.
pub fn write(report: &Report) -> Result<String, String> {
    let value = serde_json::to_value(report).map_err(|error| error.to_string())?;
    let mut text = String::new();
    put(&value, 0, &mut text);
    text.push('\n');
    Ok(text)
}

/// A report that was written before.
///
/// # Errors
/// The file cannot be read, or is no report.
pub fn read(file: &Path) -> Result<Report, String> {
    let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| fault(&error))?;
    serde_json::from_str(&text).map_err(|error| fault(&error))
}

/// All reports of a folder, oldest first, and a line for each file that is none.
///
/// # Errors
/// The folder cannot be read.
pub fn read_all(folder: &Path) -> Result<(Vec<Report>, Vec<String>), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    let (mut reports, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        match read(&file) {
            Ok(report) => reports.push(report),
            Err(fault) => faults.push(fault),
        }
    }
    reports.sort_by(|a, b| (&a.date, &a.time).cmp(&(&b.date, &b.time)));
    Ok((reports, faults))
}

fn put(value: &Value, depth: usize, text: &mut String) {
    let (open, close, items): (_, _, Vec<(String, &Value)>) = match value {
        Value::Object(map) if depth < DEEPEST && !map.is_empty() => {
            ('{', '}', map.iter().map(|(key, value)| (format!("{}: ", Value::from(key.as_str())), value)).collect())
        }
        Value::Array(list) if depth < DEEPEST && !list.is_empty() => {
            ('[', ']', list.iter().map(|value| (String::new(), value)).collect())
        }
        plain => return text.push_str(&rounded(plain.clone()).to_string()),
    };
    text.push(open);
    for (at, (key, value)) in items.iter().enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&" ".repeat(depth + 1));
        text.push_str(key);
        put(value, depth + 1, text);
    }
    text.push('\n');
    text.push_str(&" ".repeat(depth));
    text.push(close);
}

/// The same with every fraction to six digits: more was not measured.
fn rounded(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, rounded(value))).collect(),
        Value::Array(list) => list.into_iter().map(rounded).collect(),
        Value::Number(number) if number.is_f64() => {
            let short = number.as_f64().and_then(|figure| format!("{figure:.5e}").parse::<f64>().ok());
            short.map_or(Value::Number(number), Value::from)
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fraction_is_kept_to_six_digits_and_a_count_whole() {
        let mut text = String::new();
        put(&json!([6.72596533778894, 1.0, 12_345_678_901_u64, 0.000_123_456_789]), 0, &mut text);
        assert_eq!(text, "[\n 6.72597,\n 1.0,\n 12345678901,\n 0.000123457\n]");
    }

    #[test]
    fn what_is_deep_stands_on_one_line_and_says_the_same() {
        let mut value = json!({"cpu_us": 1.5, "faults": {}, "name": "\"µs\""});
        for _ in 0..DEEPEST {
            value = json!([value, []]);
        }
        let mut text = String::new();
        put(&value, 0, &mut text);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(
            text.contains("{\"cpu_us\":1.5,\"faults\":{},\"name\":\"\\\"µs\\\"\"}\n") || text.contains("},"),
            "{text}"
        );
    }
}
