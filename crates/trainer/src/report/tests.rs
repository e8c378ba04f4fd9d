use super::*;

fn curve(series: &[(&str, &[(f64, f64)])]) -> Curve {
    Curve {
        title: "Loss".into(),
        series: series.iter().map(|(n, p)| (n.to_string(), p.to_vec())).collect(),
        x_label: "step".into(),
        y_label: "nats".into(),
        log_y: false,
    }
}

fn page(curves: Vec<Curve>) -> String {
    Report { title: "run".into(), curves, ..Report::default() }.to_html()
}

#[test]
fn all_text_is_escaped() {
    let evil = "<script>alert('x')</script> & \"q\"".to_string();
    let report = Report {
        title: evil.clone(),
        subtitle: evil.clone(),
        facts: vec![(evil.clone(), evil.clone())],
        curves: vec![
            Curve {
                title: evil.clone(),
                series: vec![(evil.clone(), vec![(0.0, 1.0)]), (evil.clone(), vec![])],
                x_label: evil.clone(),
                y_label: evil.clone(),
                log_y: true,
            };
            2
        ],
        tables: vec![Table {
            title: evil.clone(),
            caption: evil.clone(),
            header: vec![evil.clone()],
            rows: vec![vec![evil.clone()]],
            stressed: vec![(0, 0)],
        }],
        notes: vec![evil.clone()],
        config_toml: evil,
    };
    let html = report.to_html();
    assert!(!html.contains("<script") && !html.contains("alert('"));
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;q&quot;"));
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    let html = page(vec![curve(&[("a", &[(0.0, 1.0), (1.0, 2.0)])])]);
    for word in ["http", "src=", "href=", "url(", "@import", "<link", "<script"] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn every_opened_element_is_closed_in_order() {
    let report = Report {
        title: "run".into(),
        subtitle: "s".into(),
        facts: vec![("a".into(), "b".into())],
        curves: vec![curve(&[("a", &[(0.0, 1.0), (1.0, 2.0)]), ("b", &[])])],
        tables: vec![Table {
            header: vec!["a".into()],
            rows: vec![vec!["1".into()]],
            ..Table::default()
        }],
        notes: vec!["n".into()],
        config_toml: "seed = 1".into(),
    };
    let html = report.to_html();
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1) {
        let name = tag.split([' ', '>', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "near <{}", &tag[..tag.len().min(40)]);
        } else if !matches!(name, "!doctype" | "meta")
            && !tag.split('>').next().unwrap().ends_with('/')
        {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn values_that_cannot_be_drawn_are_gaps() {
    let nan = f64::NAN;
    let html = page(vec![curve(&[("a", &[(0.0, 1.0), (1.0, nan), (2.0, 3.0), (3.0, 2.0)])])]);
    assert_eq!(html.matches("class=\"line").count(), 2);
    assert!(!html.contains("NaN") && !html.contains("inf\""));
    let log = Curve { log_y: true, ..curve(&[("a", &[(0.0, 0.0), (1.0, -1.0), (2.0, 1e-3)])]) };
    let html = page(vec![log]);
    assert_eq!(html.matches("class=\"line").count(), 1);
    assert!(html.contains("nats, log scale"));
}

#[test]
fn empty_single_and_constant_series_are_drawn_or_said_to_be_empty() {
    let empty: &[(f64, f64)] = &[];
    let nan: &[(f64, f64)] = &[(0.0, f64::NAN)];
    for series in [vec![], vec![("a", empty)], vec![("a", nan), ("b", empty)]] {
        let html = page(vec![curve(&series)]);
        assert!(html.contains("no values to plot") && !html.contains("<svg"));
    }
    for points in [&[(5.0, 2.0)][..], &[(0.0, 0.0), (9.0, 0.0)], &[(1.0, -1e-30), (2.0, 1e30)]] {
        let html = page(vec![curve(&[("a", points)])]);
        assert!(
            html.contains("<svg") && !html.contains("NaN") && !html.contains("inf"),
            "{points:?}"
        );
    }
}

#[test]
fn a_legend_is_there_for_two_series_and_not_for_one() {
    let points: &[(f64, f64)] = &[(0.0, 1.0), (1.0, 2.0)];
    assert!(!page(vec![curve(&[("a", points)])]).contains("<ul"));
    let html = page(vec![curve(&[("a", points), ("b", points)])]);
    assert!(html.contains("<li class=\"c1\">a</li><li class=\"c2\">b</li>"));
    assert!(html.contains("<title>b at step 1: 2</title>"));
}

#[test]
fn numbers_are_aligned_and_stressed_cells_are_strong() {
    let table = Table {
        title: "Test".into(),
        header: vec!["system".into(), "R@1".into()],
        rows: vec![vec!["student".into(), "41.2 %".into()], vec!["baseline".into(), "-".into()]],
        stressed: vec![(0, 1)],
        ..Table::default()
    };
    let html = Report { tables: vec![table], ..Report::default() }.to_html();
    assert!(html.contains("<td>student</td><td class=\"number\"><strong>41.2 %</strong></td>"));
    assert!(html.contains("<th scope=\"col\" class=\"number\">R@1</th>"));
}

#[test]
fn a_table_without_rows_is_left_out() {
    let table = Table { title: "Test set".into(), header: vec!["".into()], ..Table::default() };
    let html = Report { tables: vec![table], ..Report::default() }.to_html();
    assert!(!html.contains("Test set") && !html.contains("<table"));
}

#[test]
fn a_report_is_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let report = Report { title: "run".into(), ..Report::default() };
    report.write(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report.to_html());
}

#[test]
fn a_table_as_text_has_its_numbers_in_columns() {
    let table = Table {
        title: "Scores".into(),
        header: vec!["set".into(), "wer".into()],
        rows: vec![vec!["all".into(), "9.1".into()], vec!["unseen".into(), "12.25".into()]],
        ..Table::default()
    };
    assert_eq!(table.to_text(), "Scores\n  set       wer\n  all       9.1\n  unseen  12.25\n");
}
