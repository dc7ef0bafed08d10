package spec

import (
	"encoding/json"
	"strings"
)

// SchemaID names the published schema.
const SchemaID = "https://dvx.io/schema/pipeline.schema.json"

// Schema returns the JSON Schema (draft 2020-12) of what people write, made of
// the same table as the parser: the fields that are built, and no others. What
// it can't say, such as the syntax of globs, only the parser checks.
func Schema() ([]byte, error) {
	inputs := map[string]any{"type": "array", "minItems": 1, "items": map[string]any{"$ref": "#/$defs/input"}}
	root := schemaObject("", inputs)
	fields, _ := root["properties"].(map[string]any)
	input := fields["input"]
	fields["input"] = map[string]any{"$ref": "#/$defs/input", "description": fieldTexts["input"]}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = SchemaID
	root["title"] = "dvx pipeline"
	root["required"] = []string{"pipeline", "transform", "input"}
	root["$defs"] = map[string]any{"input": input}
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

// schemaObject returns the schema of the object at a dotted path of the table.
func schemaObject(at string, inputs map[string]any) map[string]any {
	fields := map[string]any{}
	for _, f := range fieldRows {
		name, below := strings.CutPrefix(f.path, at)
		if !below || strings.Contains(name, ".") || f.shape == unbuilt {
			continue
		}
		s := schemaOf(f, inputs)
		s["description"] = fieldTexts[f.path]
		if f.why != "" {
			s["$comment"] = "in the memo key: " + string(f.key) + "; " + f.why
		}
		fields[name] = s
	}
	return map[string]any{"type": "object", "properties": fields, "additionalProperties": false}
}

// schemaOf returns the schema of one field.
func schemaOf(f fieldRow, inputs map[string]any) map[string]any {
	literal := map[string]any{"type": []string{"string", "number", "boolean"}}
	switch f.shape {
	case shapeObject:
		return schemaObject(f.path+".", inputs)
	case shapeInputs:
		return map[string]any{"type": inputs["type"], "minItems": inputs["minItems"], "items": inputs["items"]}
	case shapeText, shapeTime:
		return map[string]any{"type": "string"}
	case shapeQuantity:
		return map[string]any{"type": []string{"string", "number"}}
	case shapeNumber:
		return map[string]any{"type": "integer"}
	case shapeShare:
		return map[string]any{"type": []string{"integer", "string"}}
	case shapeFlag:
		return map[string]any{"type": "boolean"}
	case shapeTexts:
		return map[string]any{"type": "array", "items": literal}
	case shapeNumbers:
		return map[string]any{"type": "array", "items": map[string]any{"type": "integer"}}
	case shapeLists, shapeValues:
		lists := map[string]any{"type": "array", "items": literal}
		if f.shape == shapeValues {
			lists = map[string]any{"anyOf": []any{literal, lists}}
		}
		return map[string]any{"type": "object", "additionalProperties": lists}
	case shapeCounts:
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "integer"}}
	default: // shapeDict
		return map[string]any{"type": "object", "additionalProperties": literal}
	}
}
