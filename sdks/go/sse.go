package devora

import (
	"bufio"
	"bytes"
	"io"
)

// frame is one frame of an event stream.
type frame struct {
	event string
	id    string
	data  []byte
}

// frameReader reads frames of a text/event-stream body.
type frameReader struct {
	lines *bufio.Reader
	begun bool
}

func newFrameReader(body io.Reader) *frameReader {
	return &frameReader{lines: bufio.NewReaderSize(body, 1<<16)}
}

// next returns the next frame with data. It drops an incomplete frame at the end of the stream.
func (r *frameReader) next() (frame, error) {
	var read frame
	var data [][]byte
	for {
		line, err := r.lines.ReadBytes('\n')
		if err != nil {
			return frame{}, err
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(line) == 0 {
			if data != nil {
				read.data = bytes.Join(data, []byte("\n"))
				return read, nil
			}
			read = frame{}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			read.event = string(value)
		case "id":
			read.id = string(value)
		case "data":
			data = append(data, value)
		}
	}
}
