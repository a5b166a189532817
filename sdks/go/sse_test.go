package devora

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFramesInPiecesOfAnySize(t *testing.T) {
	long := strings.Repeat("x", 1<<18)
	stream := "\ufeff: comment\n\nevent: one\ndata: 1\nid: a\n\nid: lost\n\ndata:Größe\r\ndata\r\ndata:  🙂\r\n\r\nevent: long\ndata: " + long +
		"\n\nunknown: x\ndata: 4\n\nevent: cut\ndata: 5\n"
	expected := []frame{
		{event: "one", id: "a", data: []byte("1")},
		{data: []byte("Größe\n\n 🙂")},
		{event: "long", data: []byte(long)},
		{data: []byte("4")},
	}
	for name, reader := range map[string]io.Reader{
		"whole": strings.NewReader(stream), "bytes": iotest.OneByteReader(strings.NewReader(stream)), "halves": iotest.HalfReader(strings.NewReader(stream)),
	} {
		frames := newFrameReader(reader)
		var read []frame
		for {
			frame, err := frames.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, frame)
		}
		if !reflect.DeepEqual(read, expected) {
			t.Errorf("%s: %d frames", name, len(read))
		}
	}
}
