// Checks a dashboard against Grafana's schema, as the library has it that Grafana generates from that schema: every member has
// to be known and of the right type, also the options of each kind of panel and the queries, and every value within its bounds.
// Then a member of each of several places is misspelt in turn, which must be found: a check that lets everything pass is none.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Members are misspelt there: in the first panel, or the first of a kind.
var places = []string{"", "templating.list.0", "panels.*", "panels.*.gridPos", "panels.*.fieldConfig.defaults", "panels.*.targets.0",
	"panels.bargauge.options", "panels.stat.options", "panels.state-timeline.options", "panels.table.options",
	"panels.timeseries.options", "panels.timeseries.fieldConfig.defaults.custom"}

func main() {
	if len(os.Args) != 2 {
		fail(errors.New("usage: dashboard-schema DASHBOARD.json"))
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	register()
	if err := check(text); err != nil {
		fail(err)
	}
	for _, place := range places {
		changed, err := misspelt(text, place)
		if err != nil {
			fail(err)
		}
		if err := check(changed); err == nil {
			fail(fmt.Errorf("a misspelt member of %q is not found", place))
		}
	}
	fmt.Printf("the dashboard is as Grafana's schema wants it; %d misspelt members are found\n", len(places))
}

// The kinds of panels and queries that the dashboard has: all there are would take minutes to compile. The options of one that is
// not here would not be read, so a misspelt one is looked for in each kind.
func register() {
	runtime := cog.NewRuntime()
	for _, panel := range []variants.PanelcfgConfig{bargauge.VariantConfig(), stat.VariantConfig(), statetimeline.VariantConfig(),
		table.VariantConfig(), timeseries.VariantConfig()} {
		runtime.RegisterPanelcfgVariant(panel)
	}
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
}

func check(text []byte) error {
	var read dashboard.Dashboard
	if err := found(read.UnmarshalJSONStrict(text)); err != nil {
		return err
	}
	if err := found(read.Validate()); err != nil {
		return err
	}
	return checkFields(text)
}

// checkFields looks at the part of panels that the library takes as it is.
func checkFields(text []byte) error {
	var whole struct {
		Panels []struct {
			Title       string
			FieldConfig map[string]any
		}
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return err
	}
	for _, panel := range whole.Panels {
		if panel.FieldConfig == nil {
			continue
		}
		if defaults, ok := panel.FieldConfig["defaults"].(map[string]any); ok {
			// Of the kind of panel, and looked at with it.
			delete(defaults, "custom")
		}
		fields, err := json.Marshal(panel.FieldConfig)
		if err != nil {
			return err
		}
		if err := found(new(dashboard.FieldConfigSource).UnmarshalJSONStrict(fields)); err != nil {
			return fmt.Errorf("panel %q, fieldConfig: %w", panel.Title, err)
		}
	}
	return nil
}

// found is nil for a list of no faults, which the library returns as an error.
func found(err error) error {
	var faults cog.BuildErrors
	if errors.As(err, &faults) && len(faults) == 0 {
		return nil
	}
	return err
}

// misspelt returns the dashboard with a member that no schema knows.
func misspelt(text []byte, place string) ([]byte, error) {
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	steps := strings.Split(place, ".")
	if place == "" {
		steps = nil
	}
	target := find(whole, steps)
	if target == nil {
		return nil, fmt.Errorf("the dashboard has no %s", place)
	}
	target["mispelt"] = true
	return json.Marshal(whole)
}

// find follows names, indices, and for panels a kind or `*`.
func find(value any, steps []string) map[string]any {
	if len(steps) == 0 {
		target, _ := value.(map[string]any)
		return target
	}
	switch value := value.(type) {
	case map[string]any:
		return find(value[steps[0]], steps[1:])
	case []any:
		for index, item := range value {
			kind := ""
			if panel, ok := item.(map[string]any); ok {
				kind, _ = panel["type"].(string)
			}
			if steps[0] == fmt.Sprint(index) || steps[0] == kind || steps[0] == "*" && kind != "row" {
				return find(item, steps[1:])
			}
		}
	}
	return nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
