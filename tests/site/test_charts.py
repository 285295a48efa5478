from megabrain.site.charts import HEIGHT, bar_chart


def test_bars_stand_on_each_other_and_reach_the_top_at_the_highest():
    chart = bar_chart("Requests", ["Keys", "Balance"], [("Mon", [3, 1]), ("Tue", [1, 1])])
    monday, tuesday = chart.columns
    assert monday.bars[-1].y == 0
    assert sum(bar.height for bar in monday.bars) == HEIGHT
    assert sum(bar.height for bar in tuesday.bars) == HEIGHT / 2
    assert monday.bars[0].y == monday.bars[1].y + monday.bars[1].height


def test_a_value_that_is_there_can_be_seen():
    chart = bar_chart("Requests", ["Keys"], [("Mon", [1_000_000]), ("Tue", [1])])
    assert chart.columns[1].bars[0].height == 2


def test_days_without_anything_have_no_bar_and_still_a_row():
    chart = bar_chart("Requests", ["Keys"], [("Mon", [0]), ("Tue", [0])])
    assert [column.bars for column in chart.columns] == [[], []]
    assert [column.values for column in chart.columns] == [["0"], ["0"]]


def test_a_column_is_told_in_words():
    chart = bar_chart("Cost", ["Keys", "Balance"], [("Nov 3", [2, 0])], lambda value: f"${value}")
    assert chart.columns[0].text == "Nov 3: Keys $2, Balance $0"


def test_an_empty_chart_is_no_error():
    chart = bar_chart("Requests", ["Keys"], [])
    assert (chart.first, chart.last, chart.peak) == ("", "", "0")
